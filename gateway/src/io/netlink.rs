//! One exchange with the kernel by rtnetlink, in the namespace of the calling thread.

use std::io;

use rtnetlink::Handle;

/// Opens a netlink socket in this thread's namespace, runs `exchange` over it, and closes it.
///
/// The runtime is this thread's own: a netlink socket belongs to the namespace that it was opened in, so it cannot be
/// shared with a thread of another one.
pub fn exchange<T>(exchange: impl AsyncFnOnce(Handle) -> io::Result<T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        exchange(handle).await
    })
}

/// The kernel's answer as an I/O error.
pub fn answer(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(answer) => answer.to_io(),
        other => io::Error::other(other),
    }
}
