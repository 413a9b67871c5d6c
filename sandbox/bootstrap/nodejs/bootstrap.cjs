// Waits in a warm container until it hears which function it becomes, loads its handler, and serves it.
//
// Speaks the AWS Lambda Runtime API over one connection, and GET /wharf/assignment before that. Started with the API's address,
// or none for the usual one. Node 18 and later.

"use strict";

const childProcess = require("node:child_process");
const fs = require("node:fs");
const net = require("node:net");
const path = require("node:path");
const stream = require("node:stream");
const url = require("node:url");

// What nearly every handler needs.
require("node:crypto");
require("node:http");
require("node:https");

const PATHS = "/2018-06-01/runtime/";
const DEFAULT_API = "127.0.0.1:9001";
const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const HIGH_WATER_MARK = Symbol.for("aws.lambda.runtime.handler.streaming.highWaterMark");

/** One HTTP/1.1 connection to the runtime API. Its server always sends Content-Length. */
class Api {
  constructor(address) {
    const colon = address.lastIndexOf(":");
    this.host = address;
    this.target = { host: address.slice(0, colon).replace(/[[\]]/g, ""), port: Number(address.slice(colon + 1)), noDelay: true };
    this.socket = null;
    this.waiting = null;
    this.received = [];
    this.length = 0;
  }

  get(path) {
    return this.request(`GET ${path} HTTP/1.1\r\nHost: ${this.host}\r\n\r\n`);
  }

  post(path, body, headers = {}) {
    const bytes = Buffer.from(body);
    const head = this.head(path, { "Content-Type": "application/json", ...headers, "Content-Length": bytes.length });
    return this.request(Buffer.concat([Buffer.from(head, "latin1"), bytes]));
  }

  head(path, headers) {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${String(value).replace(/[\r\n]/g, " ")}\r\n`);
    return `POST ${path} HTTP/1.1\r\nHost: ${this.host}\r\n${lines.join("")}\r\n`;
  }

  /** Sends it, and resolves with status, headers (small letters) and body. */
  async request(bytes) {
    const kept = this.socket !== null;
    try {
      return await this.exchange(bytes);
    } catch (error) {
      // A connection that was kept may be closed at any time; what was answered twice is refused.
      if (!kept) throw error;
      return this.exchange(bytes);
    }
  }

  exchange(bytes) {
    const response = this.response();
    this.connected().write(bytes);
    return response;
  }

  /** The next response. The process stays for it. */
  response() {
    this.connected().ref();
    return new Promise((resolve, reject) => (this.waiting = { resolve, reject }));
  }

  connected() {
    if (this.socket === null) {
      const socket = net.connect(this.target);
      this.received = [];
      this.length = 0;
      socket.on("data", (bytes) => this.take(bytes));
      socket.on("error", () => {});
      socket.on("close", () => this.lost(socket));
      this.socket = socket;
    }
    return this.socket;
  }

  lost(socket) {
    if (this.socket !== socket) return;
    this.socket = null;
    const waiting = this.waiting;
    this.waiting = null;
    if (waiting) waiting.reject(new Error("the runtime API closed the connection"));
  }

  take(bytes) {
    this.received.push(bytes);
    this.length += bytes.length;
    if (this.length < this.expected) return;
    const all = this.received.length === 1 ? this.received[0] : Buffer.concat(this.received);
    this.received = [all];
    const end = all.indexOf("\r\n\r\n");
    if (end < 0) return;
    const lines = all.toString("latin1", 0, end).split("\r\n");
    const headers = {};
    for (const line of lines.slice(1)) {
      const colon = line.indexOf(":");
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    this.expected = end + 4 + Number(headers["content-length"] ?? 0);
    if (all.length < this.expected) return;
    const body = all.subarray(end + 4, this.expected);
    this.received = [];
    this.length = 0;
    this.expected = 0;
    const waiting = this.waiting;
    this.waiting = null;
    // A handler that has nothing more to do shall not be kept by our connection.
    this.socket.unref();
    if (waiting) waiting.resolve({ status: Number(lines[0].slice(9, 12)), headers, body });
  }

  expected = 0;
}

/** Why there is no handler. */
class Unloadable extends Error {
  constructor(name, message, trace) {
    super(message);
    this.name = name;
    if (trace) this.stack = trace;
  }
}

/** An answer that is sent while it is being written. */
class ResponseStream extends stream.Writable {
  constructor(api, path, highWaterMark) {
    super({ highWaterMark });
    this.api = api;
    this.path = path;
    this.contentType = "application/octet-stream";
    this.prelude = null;
    this.response = null;
  }

  setContentType(contentType) {
    this.contentType = contentType;
  }

  /** The head goes out with the first bytes, or at the end. */
  begin() {
    if (this.response !== null) return;
    this.response = this.api.response();
    this.response.catch(() => {});
    this.api.connected().write(
      this.api.head(this.path, {
        "Content-Type": this.contentType,
        "Lambda-Runtime-Function-Response-Mode": "streaming",
        "Transfer-Encoding": "chunked",
        Trailer: "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
      }),
    );
    if (this.prelude !== null) this.chunk(Buffer.concat([Buffer.from(this.prelude), Buffer.alloc(8)]));
  }

  chunk(bytes, done) {
    const socket = this.api.connected();
    socket.cork();
    socket.write(`${bytes.length.toString(16)}\r\n`);
    socket.write(bytes);
    socket.write("\r\n", done);
    socket.uncork();
  }

  _write(piece, encoding, done) {
    const bytes = Buffer.isBuffer(piece) ? piece : Buffer.from(piece, encoding);
    this.begin();
    if (bytes.length === 0) return done();
    // Not before it is written: a reader that is slow slows the handler down.
    this.chunk(bytes, done);
  }

  _final(done) {
    this.begin();
    this.api.connected().write("0\r\n\r\n");
    this.response.then(() => done(), () => done());
  }

  /** Ends it with an error that its reader learns of. */
  async fail(failure) {
    this.destroy();
    const body = Buffer.from(JSON.stringify(failure)).toString("base64").slice(0, 16384);
    const name = failure.errorType.replace(/[^\x20-\x7e]/g, " ");
    this.api.connected().write(
      `0\r\nLambda-Runtime-Function-Error-Type: ${name}\r\nLambda-Runtime-Function-Error-Body: ${body}\r\n\r\n`,
    );
    await this.response;
  }
}

/** What the code of functions calls `awslambda`. */
const awslambda = {
  streamifyResponse(handler, options) {
    handler[STREAMING] = "response";
    if (options?.highWaterMark !== undefined) handler[HIGH_WATER_MARK] = Number(options.highWaterMark);
    return handler;
  },
  HttpResponseStream: {
    /** Status and headers, for whoever makes an HTTP response of it: JSON, eight zeros, and then the body. */
    from(underlying, metadata) {
      underlying.setContentType("application/vnd.awslambda.http-integration-response");
      underlying.prelude = JSON.stringify(metadata);
      return underlying;
    },
  },
};

function report(error) {
  if (error instanceof Error || (error !== null && typeof error === "object" && "message" in error && "stack" in error)) {
    // Our own frames are nobody's business.
    const trace = String(error.stack).split("\n").filter((line) => !line.includes(__filename));
    return { errorType: String(error.name), errorMessage: String(error.message), trace };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

/** Writes a report to the log as well. Written at once, because the process may end next. */
function show(failure, requestId) {
  const id = requestId ? `${requestId} ` : "";
  const trace = failure.trace.slice(1).map((line) => `${line}\n`);
  try {
    fs.writeSync(2, `[ERROR] ${id}${failure.errorType}: ${failure.errorMessage}\n${trace.join("")}`);
  } catch {
    // Nobody reads it.
  }
}

function errorHeaders(failure) {
  return { "Lambda-Runtime-Function-Error-Type": failure.errorType.replace(/[^\x20-\x7e]/g, " ") };
}

/** Takes over a function's variables and paths. */
function become(assignment) {
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, assignment.environment);
  process.chdir(assignment.task_root);
  if (process.env.NODE_PATH) require("node:module").Module._initPaths();
}

/** Runs a command in our place. Node cannot execute, so it waits, and ends as the command does. */
function execute([program, ...arguments_]) {
  return new Promise((_, reject) => {
    const child = childProcess.spawn(program, arguments_, { stdio: "inherit" });
    child.on("error", (error) => reject(new Unloadable("Runtime.InvalidEntrypoint", `${program}: ${error.code ?? error.message}`)));
    child.on("exit", (status, signal) => (signal ? process.kill(process.pid, signal) : process.exit(status)));
  });
}

/** The function that `module.function` names. */
async function load(handler, root) {
  const names = /^(.*\/)?([^/.][^/]*?)\.(.+)$/.exec(handler);
  if (!names || handler.includes("..")) throw new Unloadable("Runtime.MalformedHandlerName", `Bad handler '${handler}'`);
  const file = path.join(root, names[1] ?? "", names[2]);
  let module_;
  try {
    module_ = await loadModule(file);
  } catch (error) {
    throw unloadable(error);
  }
  for (const source of [module_, module_?.default]) {
    const found = names[3].split(".").reduce((value, name) => value?.[name], source);
    if (typeof found === "function") return found;
  }
  throw new Unloadable("Runtime.HandlerNotFound", `${handler} is undefined or not exported`);
}

function loadModule(file) {
  const found = ["", ".js", ".mjs", ".cjs"].find((extension) => isFile(file + extension));
  if (found === undefined) {
    if (fs.existsSync(file)) return require(file);
    throw new Unloadable("Runtime.ImportModuleError", `Error: Cannot find module '${path.basename(file)}'`);
  }
  const whole = file + found;
  const isModule = found === ".mjs" || (found === ".js" && isInModules(path.dirname(whole)));
  return isModule ? import(url.pathToFileURL(whole).href) : require(whole);
}

function isFile(file) {
  return fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}

/** Whether the nearest package.json says that `.js` files are ES modules. */
function isInModules(directory) {
  for (let at = directory; ; at = path.dirname(at)) {
    const file = path.join(at, "package.json");
    if (isFile(file)) return JSON.parse(fs.readFileSync(file, "utf8")).type === "module";
    if (at === path.dirname(at)) return false;
  }
}

function unloadable(error) {
  if (error instanceof Unloadable) return error;
  if (error instanceof SyntaxError) return new Unloadable("Runtime.UserCodeSyntaxError", String(error), error.stack);
  const missing = ["MODULE_NOT_FOUND", "ERR_MODULE_NOT_FOUND"].includes(error?.code);
  return missing ? new Unloadable("Runtime.ImportModuleError", String(error), error.stack) : error;
}

/** The events, one after the other. */
class Server {
  constructor(api) {
    this.api = api;
    this.handler = null;
    this.requestId = null;
    this.output = null;
    this.beforeExit = null;
  }

  async serve() {
    for (;;) {
      const { status, headers, body } = await this.api.get(`${PATHS}invocation/next`);
      if (status !== 200) {
        process.stderr.write(`the runtime API has no more events: ${status}\n`);
        process.exit(1);
      }
      if (headers["lambda-runtime-trace-id"]) process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"];
      this.requestId = headers["lambda-runtime-aws-request-id"];
      try {
        await this.run(body, headers);
      } catch (error) {
        await this.fail(report(error));
      }
      this.requestId = this.output = this.beforeExit = null;
    }
  }

  path(what) {
    return `${PATHS}invocation/${this.requestId}/${what}`;
  }

  async run(body, headers) {
    const event = JSON.parse(body.toString());
    if (this.handler[STREAMING]) return this.stream(event, headers);
    const answer = await this.call(event, headers);
    let text;
    try {
      text = JSON.stringify(answer === undefined ? null : answer) ?? "null";
    } catch (error) {
      throw new Unloadable("Runtime.MarshalError", `Unable to stringify response body: ${error.message}`);
    }
    // Refused when it is late or too long; then there is nothing more to say.
    await this.api.post(this.path("response"), text);
  }

  /** What a handler answers: by a promise, or by calling back. */
  call(event, headers) {
    return new Promise((resolve, reject) => {
      const context = makeContext(headers);
      const callback = (error, answer) => {
        const settle = () => (error === undefined || error === null ? resolve(answer) : reject(error));
        // What it has left to do belongs to this invocation, unless it says otherwise.
        if (context.callbackWaitsForEmptyEventLoop && !(error ?? false)) this.beforeExit = settle;
        else settle();
      };
      context.done = callback;
      context.succeed = (answer) => callback(null, answer);
      context.fail = (error) => callback(error ?? "handled");
      // Whoever does neither answers nothing, when there is nothing left to do.
      this.beforeExit = () => resolve(null);
      const answer = this.handler(event, context, callback);
      if (typeof answer?.then === "function") {
        this.beforeExit = null;
        answer.then(resolve, reject);
      }
    });
  }

  async stream(event, headers) {
    const output = new ResponseStream(this.api, this.path("response"), this.handler[HIGH_WATER_MARK]);
    output.on("error", () => {});
    this.output = output;
    const ended = new Promise((resolve) => output.once("close", resolve));
    await this.handler(event, output, makeContext(headers));
    if (!output.writableEnded) output.end();
    await ended;
    if (output.response !== null) await output.response;
  }

  async fail(failure) {
    show(failure, this.requestId);
    if (this.output?.response) return this.output.fail(failure);
    await this.api.post(this.path("error"), JSON.stringify(failure), errorHeaders(failure));
  }

  /** Says why the process ends, wherever it was. */
  async die(failure, status) {
    try {
      if (this.requestId !== null) await this.fail(failure);
      else {
        show(failure);
        if (this.handler === null) await initError(this.api, failure);
      }
    } finally {
      process.exit(status);
    }
  }
}

function initError(api, failure) {
  return api.post(`${PATHS}init/error`, JSON.stringify(failure), errorHeaders(failure));
}

function makeContext(headers) {
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  const variable = process.env;
  return {
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    functionName: variable.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: variable.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: variable.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: variable.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: variable.AWS_LAMBDA_LOG_STREAM_NAME,
    callbackWaitsForEmptyEventLoop: true,
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
  };
}

async function main() {
  const api = new Api(process.argv[2] ?? DEFAULT_API);
  const server = new Server(api);
  const { status, body } = await api.get("/wharf/assignment");
  if (status !== 200) throw new Error(`the runtime API has no assignment: ${status}`);
  const assignment = JSON.parse(body.toString());
  globalThis.awslambda = awslambda;
  process.on("uncaughtException", (error) => server.die(report(error), 129));
  process.on("unhandledRejection", (reason) => {
    const failure = { ...report(reason), errorType: "Runtime.UnhandledPromiseRejection" };
    if (reason instanceof Error) failure.errorMessage = String(reason);
    server.die(failure, 128);
  });
  process.on("beforeExit", () => {
    const settle = server.beforeExit;
    server.beforeExit = null;
    if (settle) settle();
  });
  try {
    become(assignment);
    if (assignment.command) await execute(assignment.command);
    server.handler = await load(assignment.handler, assignment.task_root);
  } catch (error) {
    const failure = report(error);
    show(failure);
    await initError(api, failure);
    process.exit(1);
  }
  await server.serve();
}

main();
