//! A disk that fails at any one of the calls that a write takes.

use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};

use ::redb::backends::FileBackend;
use ::redb::{BackendError, StorageBackend};

use super::super::redb::{Opener, builder};
use super::*;

/// Says when the disk fails: after so many more calls that change it, with this error, until it is mended.
#[derive(Debug)]
pub(crate) struct Fault {
    left: AtomicI64,
    errno: AtomicI32,
}

impl Fault {
    pub(crate) fn never() -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(i64::MAX), errno: AtomicI32::new(0) })
    }

    pub(crate) fn after(&self, calls: i64, errno: i32) {
        self.errno.store(errno, Ordering::Relaxed);
        self.left.store(calls, Ordering::Relaxed);
    }

    pub(crate) fn mend(&self) {
        self.after(i64::MAX, 0);
    }

    fn call(&self) -> io::Result<()> {
        if self.left.fetch_sub(1, Ordering::Relaxed) > 0 {
            return Ok(());
        }
        self.left.store(0, Ordering::Relaxed);
        Err(io::Error::from_raw_os_error(self.errno.load(Ordering::Relaxed)))
    }
}

/// A file that fails as its [`Fault`] says.
#[derive(Debug)]
struct Failing {
    file: FileBackend,
    fault: Arc<Fault>,
}

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fault.call()?;
        self.file.set_len(len)
    }

    // What a disk does with a flush that fails is unknown; here it has been carried out.
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        self.fault.call()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.fault.call()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

/// Opens files on the disk with this `fault`.
pub(crate) fn opener(fault: &Arc<Fault>) -> Box<Opener> {
    let fault = fault.clone();
    Box::new(move |path| {
        let file = FileBackend::new(OpenOptions::new().read(true).write(true).open(path)?)?;
        builder().create_with_backend(Failing { file, fault: fault.clone() })
    })
}

#[test]
fn a_write_that_fails_at_any_call_has_changed_nothing_and_later_ones_succeed() {
    let directory = tempfile::tempdir().unwrap();
    let fault = Fault::never();
    let store = Redb::open_with(directory.path(), opener(&fault)).unwrap();
    store.write(&[record(1, "\"old\""), record(2, "\"old\"")]).unwrap();
    let errors = [nix::libc::EIO, nix::libc::ENOSPC, nix::libc::EROFS];
    for errno in errors {
        let mut calls = 0;
        loop {
            let before = contents(&store).unwrap();
            fault.after(calls, errno);
            let writes = [
                record(1, &format!("{calls}")),
                take(Table::Records, "containers/default/c00002"),
                record(3, "3"),
            ];
            let outcome = store.write(&writes);
            let Err(error) = outcome else { break };
            let expected = match errno {
                nix::libc::ENOSPC => matches!(error, MediumError::Full { .. }),
                nix::libc::EROFS => matches!(error, MediumError::ReadOnly { .. }),
                _ => matches!(error, MediumError::System { .. }),
            };
            assert!(expected, "call {calls}: {error:?}");
            // While it lasts, everything is refused.
            assert!(store.write(&writes).is_err());
            fault.mend();
            assert_eq!(contents(&store).unwrap(), before, "errno {errno}, call {calls}");
            store.write(&[put(Table::Changes, "00000000000000000001", &format!("{calls}"))]).unwrap();
            calls += 1;
        }
        assert!(calls >= 4, "only {calls} calls in a write");
        fault.mend();
        store.write(&[record(2, "\"old\""), take(Table::Records, "containers/default/c00003")]).unwrap();
    }
}
