// Fetches a page and reads a key, at one address, whichever VPC that is in.

import http from 'node:http';
import net from 'node:net';

const server = process.env.SERVER;

let database;

export const handler = async (event) => {
  const { page, firstByte } = await fetch();
  return { page, value: await read(event.key), first_byte_ns: Number(firstByte) };
};

const fetch = () => new Promise((resolve, reject) => {
  const request = http.get({ host: server, agent: false, timeout: 2000 }, (response) => {
    const firstByte = process.hrtime.bigint();
    let body = '';
    response.on('data', (part) => { body += part; });
    response.on('end', () => resolve({ page: JSON.parse(body), firstByte }));
  });
  request.on('timeout', () => request.destroy(new Error('no answer')));
  request.on('error', reject);
});

// Redis' GET by its protocol, RESP, by hand, on a connection that outlives the invocation.
const read = (key) => new Promise((resolve, reject) => {
  if (!database) {
    database = net.connect(6379, server);
    database.on('error', () => {});
    database.on('close', () => { database = undefined; });
  }
  const ended = () => reject(new Error('the database ended the connection'));
  database.once('close', ended);
  database.once('data', (answer) => {
    database.off('close', ended);
    resolve(answer.toString().split('\r\n')[1]);
  });
  database.write(`*2\r\n$3\r\nGET\r\n$${Buffer.byteLength(key)}\r\n${key}\r\n`);
});
