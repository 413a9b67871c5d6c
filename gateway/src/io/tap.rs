//! TAP devices with a vnet header: made by the gateway, and gone with its descriptor unless they are made persistent.
//!
//! The descriptor keeps the namespace alive that its thread was in when it opened `/dev/net/tun` (`tun_chr_open` takes
//! a counted reference), and the device appears there. A container's namespace must not be kept alive by us: so a
//! device is made in the gateway's own staging namespace and moved, see [`super::staging`]. One that is taken again has to
//! be opened where it is, and does keep its namespace: see `losses.rs`.
//! Source: Documentation/networking/tuntap.rst, drivers/net/tun.c.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::net::if_::if_nametoindex;
use nix::sys::stat::Mode;

use super::netlink::{answer, exchange};
use super::netns::run_in;
use super::steering::{Program, View};
use crate::placement::Spread;
use crate::{Lifetime, LinkError};

/// Device names of at most this many bytes, and a zero (include/uapi/linux/if.h). Bytes.
const IFNAMSIZ: usize = 16;

const IFF_TAP: u16 = 0x0002;
const IFF_MULTI_QUEUE: u16 = 0x0100;
const IFF_PERSIST: u16 = 0x0800;
const IFF_NO_PI: u16 = 0x1000;
const IFF_VNET_HDR: u16 = 0x4000;

const TUN_F_CSUM: u32 = 0x01;
const TUN_F_TSO4: u32 = 0x02;
const TUN_F_TSO6: u32 = 0x04;
const TUN_F_TSO_ECN: u32 = 0x08;
const TUN_F_USO4: u32 = 0x20;
const TUN_F_USO6: u32 = 0x40;
const TSO: u32 = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

/// Offload masks from most to least: an unknown bit is EINVAL, USO needs Linux 6.2.
const OFFLOADS: [(u32, &[&str]); 3] = [
    (TSO | TUN_F_USO4 | TUN_F_USO6, &["csum", "tso", "uso"]),
    (TSO, &["csum", "tso"]),
    (TUN_F_CSUM, &["csum"]),
];

/// `struct ifreq` (include/uapi/linux/if.h) as TUNSETIFF reads it.
#[repr(C)]
struct IfReq {
    name: [u8; IFNAMSIZ],
    flags: u16,
    padding: [u8; 22],
}

const _: () = assert!(size_of::<IfReq>() == size_of::<libc::ifreq>());

mod ioctl {
    // include/uapi/linux/if_tun.h: _IOW('T', 202, int), _IOW('T', 203, int), _IOW('T', 208, unsigned int),
    // _IOR('T', 210, unsigned int), which is a whole ifreq, _IOR('T', 224, int), which reads from us all the same, and
    // _IO('T', 227).
    nix::ioctl_write_ptr_bad!(
        tunsetiff,
        nix::request_code_write!(b'T', 202, size_of::<libc::c_int>()),
        super::IfReq
    );
    nix::ioctl_write_int_bad!(tunsetpersist, nix::request_code_write!(b'T', 203, size_of::<libc::c_int>()));
    nix::ioctl_write_int_bad!(tunsetoffload, nix::request_code_write!(b'T', 208, size_of::<libc::c_uint>()));
    nix::ioctl_read_bad!(
        tungetiff,
        nix::request_code_read!(b'T', 210, size_of::<libc::c_uint>()),
        super::IfReq
    );
    nix::ioctl_none_bad!(tungetdevnetns, nix::request_code_none!(b'T', 227));
    nix::ioctl_write_ptr_bad!(
        tunsetsteeringebpf,
        nix::request_code_read!(b'T', 224, size_of::<libc::c_int>()),
        libc::c_int
    );
}

/// What is decided about a device's queues when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// There is one.
    Single,
    /// There may be several, opened one by one.
    Several,
}

impl Shape {
    const fn flags(self) -> u16 {
        match self {
            Self::Single => 0,
            Self::Several => IFF_MULTI_QUEUE,
        }
    }
}

/// An open TAP device.
#[derive(Debug)]
pub struct Tap {
    fd: OwnedFd,
    offloads: &'static [&'static str],
}

impl Tap {
    /// Makes a device in this thread's namespace, under a name that the kernel chooses.
    pub(super) fn create() -> Result<(Self, String), LinkError> {
        let mut name = ANY_NAME;
        let fd = open_device().map_err(|e| refused("open /dev/net/tun", e))?;
        attach(&fd, &mut name, FLAGS).map_err(|e| refused("make the TAP device", e))?;
        let offloads = probe_offloads(&fd);
        Ok((Self { fd, offloads }, text(name)))
    }

    /// The same with a queue for each worker, and a program that steers frames to them. Queues are numbered as they are
    /// attached, which has to be before the device is moved: a queue finds its device by name and namespace.
    pub(super) fn create_steered(spread: Spread) -> io::Result<(Vec<Self>, String)> {
        let mut name = ANY_NAME;
        let queues = Self::attach_steered(&mut name, spread)?;
        Ok((queues, text(name)))
    }

    /// Opens the persistent device of that name in this thread's namespace. `EBUSY` if somebody else has its only queue open,
    /// `EINVAL` if it is of another kind, `ENODEV` if there is none.
    pub(crate) fn take(name: &str, shape: Shape) -> Result<Self, Errno> {
        let fd = open_device()?;
        attach(&fd, &mut padded(name)?, FLAGS | shape.flags())?;
        let tap = Self { offloads: probe_offloads(&fd), fd };
        tap.check_persistent()?;
        Ok(tap)
    }

    /// Opens a queue for each worker of such a device, and steers it.
    pub(crate) fn take_steered(name: &str, spread: Spread) -> io::Result<Vec<Self>> {
        let queues = Self::attach_steered(&mut padded(name)?, spread)?;
        queues[0].check_persistent()?;
        Ok(queues)
    }

    /// Without a device, the kernel makes one that goes again when it is closed.
    fn check_persistent(&self) -> Result<(), Errno> {
        if self.request()?.flags & IFF_PERSIST == 0 { Err(Errno::ENODEV) } else { Ok(()) }
    }

    /// Attaches a queue for each worker to the device of that name, or to a new one, and steers it.
    fn attach_steered(name: &mut [u8; IFNAMSIZ], spread: Spread) -> io::Result<Vec<Self>> {
        let program = Program::load(View::Ethernet, spread)?;
        let queues = (0..spread.workers())
            .map(|_| {
                let fd = open_device()?;
                attach(&fd, name, FLAGS | Shape::Several.flags()).map(|()| fd)
            })
            .collect::<Result<Vec<_>, _>>()?;
        // SAFETY: the descriptor is open, and the number of the program's is live for the call.
        unsafe { ioctl::tunsetsteeringebpf(queues[0].as_raw_fd(), &program.number()) }?;
        // They are the device's, not a queue's.
        let offloads = probe_offloads(&queues[0]);
        Ok(queues.into_iter().map(|fd| Self { fd, offloads }).collect())
    }

    /// Says whether the device outlives its descriptors.
    pub(crate) fn set_lifetime(&self, lifetime: Lifetime) -> Result<(), Errno> {
        let persist = match lifetime {
            Lifetime::Process => 0,
            Lifetime::Lasting => 1,
        };
        // SAFETY: the descriptor is open and the argument is a plain number; the kernel touches no memory of ours.
        unsafe { ioctl::tunsetpersist(self.fd.as_raw_fd(), persist) }.map(drop)
    }

    pub(super) fn offloads(&self) -> &'static [&'static str] {
        self.offloads
    }

    /// Deletes the device, wherever it is now. To close the last descriptor does the same, but a process that is being
    /// started has a copy of each until it runs its program, and whoever makes a device of that name meanwhile finds it taken.
    pub(crate) fn delete(&self) -> io::Result<()> {
        // EINVAL: its namespace is being taken down, and the device with it (net/core/net_namespace.c, `get_net_ns`).
        let gone = |errno| matches!(errno, Errno::EBADFD | Errno::ENODEV | Errno::EINVAL);
        match self.netns().and_then(|netns| Ok((netns, self.name()?))) {
            Ok((netns, name)) => run_in(netns, || {
                let Ok(index) = if_nametoindex(name.as_str()) else { return Ok(()) };
                // While the device has that name, no other has: so the index is its own.
                if self.name() != Ok(name) {
                    return Ok(());
                }
                exchange(async |handle| handle.link().del(index).execute().await.map_err(answer))
            })?,
            Err(errno) if gone(errno) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The namespace that the device is in. It lives at least as long as the descriptor.
    fn netns(&self) -> Result<OwnedFd, Errno> {
        // SAFETY: the descriptor is open, and the call has no argument.
        let fd = unsafe { ioctl::tungetdevnetns(self.fd.as_raw_fd()) }?;
        // SAFETY: the kernel has just made the descriptor, for this call alone.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// What the device is called now.
    fn name(&self) -> Result<String, Errno> {
        Ok(text(self.request()?.name))
    }

    /// What the device is now.
    fn request(&self) -> Result<IfReq, Errno> {
        let mut request = IfReq { name: [0; IFNAMSIZ], flags: 0, padding: [0; 22] };
        // SAFETY: the descriptor is open, and `request` is a live, whole `struct ifreq` that the kernel fills during the call.
        unsafe { ioctl::tungetiff(self.fd.as_raw_fd(), &raw mut request) }?;
        Ok(request)
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

const FLAGS: u16 = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;

/// A name that the kernel completes.
const ANY_NAME: [u8; IFNAMSIZ] = *b"tap%d\0\0\0\0\0\0\0\0\0\0\0";

fn open_device() -> Result<OwnedFd, Errno> {
    open("/dev/net/tun", OFlag::O_RDWR | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty())
}

/// Makes the device of that name, or a further queue of it. The name is then the kernel's choice.
fn attach(fd: &OwnedFd, name: &mut [u8; IFNAMSIZ], flags: u16) -> Result<(), Errno> {
    let mut request = IfReq { name: *name, flags, padding: [0; 22] };
    // SAFETY: the descriptor is open, and `request` is a live, whole `struct ifreq` with a terminated name;
    // the kernel reads it and writes the name back into it during the call only.
    unsafe { ioctl::tunsetiff(fd.as_raw_fd(), &raw mut request) }?;
    *name = request.name;
    Ok(())
}

/// A name and zeros. No device has a longer one.
fn padded(name: &str) -> Result<[u8; IFNAMSIZ], Errno> {
    let mut padded = [0; IFNAMSIZ];
    let part = padded[..IFNAMSIZ - 1].get_mut(..name.len()).ok_or(Errno::ENODEV)?;
    part.copy_from_slice(name.as_bytes());
    Ok(padded)
}

/// A name up to its zero.
fn text(name: [u8; IFNAMSIZ]) -> String {
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

/// Asks for the most offloads that this kernel knows.
fn probe_offloads(fd: &OwnedFd) -> &'static [&'static str] {
    for (mask, names) in OFFLOADS {
        // SAFETY: the descriptor is open and the argument is a plain number; the kernel touches no memory of ours.
        if unsafe { ioctl::tunsetoffload(fd.as_raw_fd(), mask.cast_signed()) }.is_ok() {
            return names;
        }
    }
    &[]
}

fn refused(step: &'static str, errno: Errno) -> LinkError {
    match errno {
        Errno::EPERM | Errno::EACCES => LinkError::NotPermitted(step),
        other => LinkError::System { step, source: io::Error::from(other) },
    }
}
