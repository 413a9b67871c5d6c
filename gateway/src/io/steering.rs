//! The program that puts a frame of an uplink into the queue of the worker that owns its external port.
//!
//! It runs in the kernel, as a socket filter whose result is the queue's index: for TAP devices before a frame is queued
//! (`tun_select_queue`, drivers/net/tun.c), for packet sockets in their fanout group (`fanout_demux_bpf`,
//! net/packet/af_packet.c). It only has to be right nearly always, since a worker hands over what is another's.
//!
//! Queue 0 is that of the uplink's reader. It gets all that names no port of ours: ARP, neighbor discovery, IP options and
//! extension headers, other protocols, and fragments, so that those of a datagram meet. A load beyond the end of a frame
//! ends the program with 0 (Documentation/bpf/standardization/instruction-set.rst, legacy packet access), which is the same queue.

mod assembler;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Once;

use gateway_core::limits::PORT_BLOCK;
use nix::errno::Errno;

use self::assembler::{Assembler, Instruction, Label};
use crate::placement::Spread;

/// Where the IP header of a frame starts, as the program sees it. Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// From the Ethernet header on: what a TAP device is about to queue.
    Ethernet = 14,
    /// From the IP header on: what a device has received, since the kernel has pulled the Ethernet header (`eth_type_trans`).
    Network = 0,
}

/// A loaded program. Whatever it was given to keeps it.
#[derive(Debug)]
pub(super) struct Program(OwnedFd);

impl Program {
    /// Loads the program. The kernel may refuse: this needs `CAP_BPF` or `CAP_SYS_ADMIN` where unprivileged programs are off.
    pub(super) fn load(view: View, spread: Spread) -> io::Result<Self> {
        let code = assemble(view, spread);
        let request = Load {
            kind: BPF_PROG_TYPE_SOCKET_FILTER,
            count: code.len() as u32,
            code: code.as_ptr() as u64,
            license: c"Apache-2.0".as_ptr() as u64,
            log: [0; 2],
            log_buffer: 0,
            kernel_version: 0,
            flags: 0,
        };
        // SAFETY: `request` is live and its size goes with it; `code` and the license, a constant, live through the call,
        // and the kernel copies `count` instructions and a terminated string.
        let fd =
            unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const request, size_of::<Load>()) };
        let fd = Errno::result(fd)? as i32;
        // SAFETY: the descriptor was opened just now and nobody else has it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The descriptor's number, as `ioctl` and `setsockopt` want to point to.
    pub(super) fn number(&self) -> libc::c_int {
        self.0.as_raw_fd()
    }
}

/// Whether this kernel steers.
pub(crate) fn can_steer(spread: Spread) -> bool {
    Program::load(View::Ethernet, spread).inspect_err(not_steered).is_ok()
}

/// Says that an uplink does without steering: one worker reads it and hands frames over.
pub(super) fn not_steered(source: &io::Error) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::info!(error = %source, "uplinks have one queue each: the kernel does not steer frames to workers");
    });
    tracing::debug!(error = %source, "an uplink has one queue");
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TYPE_SOCKET_FILTER: u32 = 1;

/// The part of `union bpf_attr` that `BPF_PROG_LOAD` needs (include/uapi/linux/bpf.h); the kernel takes the rest as zero.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    code: u64,
    license: u64,
    log: [u32; 2],
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
}

const _: () = assert!(size_of::<Load>() == 48);

/// How ICMP is laid out for one version of IP (RFC 792, RFC 4443).
struct Icmp {
    protocol: i32,
    echo_request: i32,
    echo_reply: i32,
    /// Types that carry the start of a packet of ours.
    errors: &'static [i32],
}

const ICMPV4: Icmp = Icmp { protocol: 1, echo_request: 8, echo_reply: 0, errors: &[3, 11, 12] };
const ICMPV6: Icmp = Icmp { protocol: 58, echo_request: 128, echo_reply: 129, errors: &[1, 2, 3, 4] };

const TCP: i32 = 6;
const UDP: i32 = 17;

/// Version 4 and a header without options.
const IPV4_PLAIN: i32 = 0x45;
const IPV4_LEN: i32 = 20;
/// Bits of the word with flags and offset: more fragments, and the offset itself.
const MORE_FRAGMENTS: i32 = 0x2000;
const FRAGMENT_OFFSET: i32 = 0x1fff;

const IPV6_LEN: i32 = 40;

/// Bytes in front of the packet that an ICMP error embeds.
const ICMP_ERROR_LEN: i32 = 8;

/// Whose packet it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packet {
    /// One that comes in: its destination is ours.
    Inbound,
    /// One that went out, in an ICMP error: its source is ours.
    Embedded,
}

fn assemble(view: View, spread: Spread) -> Vec<Instruction> {
    let mut asm = Assembler::start();
    let (found, fixed) = (asm.label(), asm.label());
    let exits = Exits { found, fixed };
    ip(&mut asm, view as i32, Packet::Inbound, exits);
    asm.bind(found);
    // The port is in hand: its worker, and that one's queue.
    let workers = spread.workers().cast_signed();
    asm.divide(PORT_BLOCK.into());
    asm.remainder(workers);
    asm.add(spread.queue_of(0).cast_signed());
    asm.remainder(workers);
    asm.exit();
    asm.bind(fixed);
    asm.set(0);
    asm.exit();
    asm.finish()
}

/// Where code goes on that has decided.
#[derive(Clone, Copy)]
struct Exits {
    /// With the port in hand.
    found: Label,
    /// For the fixed queue.
    fixed: Label,
}

/// A packet of either version at `at`.
fn ip(asm: &mut Assembler, at: i32, packet: Packet, exits: Exits) {
    let v6 = asm.label();
    asm.load_byte(at);
    asm.jump_unless(IPV4_PLAIN, v6);
    asm.load_half(at + 6);
    // What an error embeds has ports in the first fragment too.
    asm.and(if packet == Packet::Inbound { MORE_FRAGMENTS | FRAGMENT_OFFSET } else { FRAGMENT_OFFSET });
    asm.jump_unless(0, exits.fixed);
    asm.load_byte(at + 9);
    transport(asm, at + IPV4_LEN, packet, &ICMPV4, exits);
    asm.bind(v6);
    asm.and(0xf0);
    asm.jump_unless(0x60, exits.fixed);
    asm.load_byte(at + 6);
    transport(asm, at + IPV6_LEN, packet, &ICMPV6, exits);
}

/// A transport header at `at`; its protocol is in hand.
fn transport(asm: &mut Assembler, at: i32, packet: Packet, icmp: &Icmp, exits: Exits) {
    let (ports, query) = (asm.label(), asm.label());
    asm.jump_if(TCP, ports);
    asm.jump_if(UDP, ports);
    asm.jump_unless(icmp.protocol, exits.fixed);
    asm.load_byte(at);
    match packet {
        Packet::Inbound => {
            asm.jump_if(icmp.echo_reply, query);
            let error = asm.label();
            for &kind in icmp.errors {
                asm.jump_if(kind, error);
            }
            asm.jump(exits.fixed);
            asm.bind(error);
            ip(asm, at + ICMP_ERROR_LEN, Packet::Embedded, exits);
        }
        Packet::Embedded => asm.jump_unless(icmp.echo_request, exits.fixed),
    }
    asm.bind(query);
    asm.load_half(at + 4);
    asm.jump(exits.found);
    asm.bind(ports);
    asm.load_half(at + if packet == Packet::Inbound { 2 } else { 0 });
    asm.jump(exits.found);
}
