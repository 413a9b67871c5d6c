//! Packet sockets with a vnet header: the raw way to an existing device that carries super-packets both ways.
//!
//! Source: packet(7), net/packet/af_packet.c. The socket sees what the device receives for this host and for
//! everybody, and neighbor discovery, which is multicast; what others send out of the device, frames for other hosts and
//! VLAN-tagged frames are filtered in the kernel. (A stripped VLAN tag is not in the bytes, so without the filter a tagged
//! frame would look untagged.)
//!
//! With several workers each has a socket, and the sockets are one fanout group: the kernel gives each frame to one of them,
//! as the [steering program](super::steering) says.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::steering::{Program, View, not_steered};
use crate::LinkError;
use crate::placement::Spread;

/// Frames for this socket that the kernel may queue, and bytes on their way out. Bytes.
const SOCKET_BUFFER: libc::c_int = 8 * 1024 * 1024;

/// Offset of the ancillary loads in classic BPF, and two of them (include/uapi/linux/filter.h).
const SKF_AD_OFF: u32 = (-0x1000_i32).cast_unsigned();
const SKF_AD_PKTTYPE: u32 = 4;
const SKF_AD_VLAN_TAG_PRESENT: u32 = 48;
const LOAD_BYTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
const JUMP_IF_GREATER: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Next header of ICMPv6, which neighbor discovery is a part of (RFC 4861 §4).
const ICMPV6: u32 = 58;

/// Takes untagged frames for this host or for everybody, and of multicast ones ICMPv6.
const FILTER: [libc::sock_filter; 11] = [
    statement(LOAD_BYTE, SKF_AD_OFF + SKF_AD_PKTTYPE),
    jump(JUMP_IF_GREATER, libc::PACKET_MULTICAST as u32, 8, 0),
    jump(JUMP_IF_EQUAL, libc::PACKET_MULTICAST as u32, 0, 4),
    // The Ethernet type, and the next header of the IPv6 header behind it.
    statement(LOAD_HALF, 12),
    jump(JUMP_IF_EQUAL, libc::ETH_P_IPV6 as u32, 0, 5),
    statement(LOAD_BYTE, 14 + 6),
    jump(JUMP_IF_EQUAL, ICMPV6, 0, 3),
    statement(LOAD_BYTE, SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT),
    jump(JUMP_IF_EQUAL, 0, 0, 1),
    statement(RETURN, u32::MAX),
    statement(RETURN, 0),
];

/// Takes nothing: for sockets that are not yet in their group, where they would each get a copy of every frame.
const CLOSED: [libc::sock_filter; 1] = [statement(RETURN, 0)];

/// The group's program decides; an id that is free in the namespace is chosen; frames that leave are not even looked at, from
/// Linux 5.16 on. Fragments are not put together by the kernel (`PACKET_FANOUT_FLAG_DEFRAG` is not here).
const FANOUT: u32 =
    libc::PACKET_FANOUT_EBPF | libc::PACKET_FANOUT_FLAG_UNIQUEID | libc::PACKET_FANOUT_FLAG_IGNORE_OUTGOING;

/// A packet socket that is bound to one device.
#[derive(Debug)]
pub struct Packet {
    fd: OwnedFd,
}

impl Packet {
    /// What a packet socket with a vnet header carries, whatever the device can do itself.
    pub(super) const OFFLOADS: &'static [&'static str] = &["csum", "tso", "uso"];

    /// Opens the device with this index in this thread's namespace, with a socket for each worker, in the order of `spread`;
    /// with a single one if there is one worker, or if the kernel does not steer.
    pub(crate) fn open_queues(index: u32, spread: Spread) -> Result<Vec<Self>, LinkError> {
        if spread.workers() > 1 {
            let sockets = (0..spread.workers()).map(|_| Self::open(index)).collect::<Result<Vec<_>, _>>()?;
            match Self::group(&sockets, spread) {
                Ok(()) => return Ok(sockets),
                Err(source) => not_steered(&source),
            }
        }
        let only = Self::open(index)?;
        only.filter(&FILTER)
            .map_err(|source| LinkError::System { step: "set up the packet socket", source })?;
        Ok(vec![only])
    }

    /// Makes the sockets one group. Their index is the order in which they join; when the device has been down, they join again
    /// in the order in which they were opened (`packet_notifier`), which is the same.
    fn group(sockets: &[Self], spread: Spread) -> io::Result<()> {
        let program = Program::load(View::Network, spread)?;
        sockets[0].set(libc::SOL_PACKET, libc::PACKET_FANOUT, &(FANOUT << 16))?;
        sockets[0].set(libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, &program.number())?;
        // The kernel answers with what others join by: the id that it chose, the type, and the flags.
        let joined = sockets[0].fanout()?;
        sockets[1..]
            .iter()
            .try_for_each(|socket| socket.set(libc::SOL_PACKET, libc::PACKET_FANOUT, &joined))?;
        sockets.iter().try_for_each(|socket| socket.filter(&FILTER))
    }

    /// Opens the device. Until [`Self::filter`] says otherwise, the socket receives nothing.
    fn open(index: u32) -> Result<Self, LinkError> {
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: plain numbers; protocol 0 receives nothing until `bind`.
        let fd = Errno::result(unsafe { libc::socket(libc::AF_PACKET, kind, 0) }).map_err(|e| match e {
            Errno::EPERM | Errno::EACCES => LinkError::NotPermitted("open a packet socket"),
            other => LinkError::System { step: "open a packet socket", source: other.into() },
        })?;
        // SAFETY: `fd` was opened just now and nobody else has it.
        let packet = Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } };
        packet
            .configure(index)
            .map_err(|source| LinkError::System { step: "set up the packet socket", source })?;
        packet.bind(index).map_err(|source| LinkError::System { step: "bind the packet socket", source })?;
        Ok(packet)
    }

    /// Whether the device still exists: the kernel resets the index when it is unregistered (`packet_notifier`).
    pub(super) fn is_bound(&self) -> bool {
        self.address().is_ok_and(|address| address.sll_ifindex > 0)
    }

    fn configure(&self, index: u32) -> io::Result<()> {
        self.set(libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1)?;
        self.set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1)?;
        self.set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &SOCKET_BUFFER)?;
        self.set(libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &SOCKET_BUFFER)?;
        // A network card passes on the multicast frames that somebody has asked for. The kernel counts those who do, and
        // takes us off when the socket is closed.
        let all_multicast = libc::packet_mreq {
            mr_ifindex: index.cast_signed(),
            mr_type: libc::PACKET_MR_ALLMULTI as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        self.set(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &all_multicast)?;
        self.filter(&CLOSED)
    }

    fn filter(&self, code: &'static [libc::sock_filter]) -> io::Result<()> {
        let program = libc::sock_fprog { len: code.len() as u16, filter: code.as_ptr().cast_mut() };
        self.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
    }

    fn set<T>(&self, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
        let length = size_of::<T>() as libc::socklen_t;
        // SAFETY: `value` is live for the call and `length` is its size. A filter program points to a constant, which
        // the kernel copies.
        let result = unsafe {
            libc::setsockopt(self.fd.as_raw_fd(), level, name, std::ptr::from_ref(value).cast(), length)
        };
        Errno::result(result)?;
        Ok(())
    }

    /// The group that the socket is in.
    fn fanout(&self) -> io::Result<u32> {
        let mut group: u32 = 0;
        let mut length = size_of::<u32>() as libc::socklen_t;
        // SAFETY: both pointers are to live values, and `length` says how much room `group` has.
        let result = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_FANOUT,
                (&raw mut group).cast(),
                &raw mut length,
            )
        };
        Errno::result(result)?;
        Ok(group)
    }

    fn bind(&self, index: u32) -> io::Result<()> {
        let mut address = unspecified();
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index.cast_signed();
        // SAFETY: `address` is a live, whole `sockaddr_ll` and the length is its size.
        let result =
            unsafe { libc::bind(self.fd.as_raw_fd(), (&raw const address).cast(), LINK_ADDRESS_LEN) };
        Errno::result(result)?;
        Ok(())
    }

    fn address(&self) -> io::Result<libc::sockaddr_ll> {
        let mut address = unspecified();
        let mut length = LINK_ADDRESS_LEN;
        // SAFETY: both pointers are to live values, and `length` says how much room `address` has.
        let result =
            unsafe { libc::getsockname(self.fd.as_raw_fd(), (&raw mut address).cast(), &raw mut length) };
        Errno::result(result)?;
        Ok(address)
    }
}

impl AsFd for Packet {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const LINK_ADDRESS_LEN: libc::socklen_t = size_of::<libc::sockaddr_ll>() as libc::socklen_t;

const fn unspecified() -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: 0,
        sll_ifindex: 0,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

const fn statement(code: u16, k: u32) -> libc::sock_filter {
    jump(code, k, 0, 0)
}

const fn jump(code: u16, k: u32, jt: u8, jf: u8) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}
