//! One exchange with the kernel by rtnetlink, in the namespace of the calling thread.

use std::io;

use futures_util::StreamExt;
use rtnetlink::Handle;
use rtnetlink::packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::tc::{TcAttribute, TcHandle, TcMessage};

/// Opens a netlink socket in this thread's namespace, runs `exchange` over it, and closes it.
///
/// The runtime is this thread's own: a netlink socket belongs to the namespace that it was opened in, so it cannot be
/// shared with a thread of another one.
pub fn exchange<T>(exchange: impl AsyncFnOnce(Handle) -> io::Result<T>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        exchange(handle).await
    })
}

/// Takes the queueing discipline off a device that is down and has never been up, so that it never gets the default ones.
pub(crate) async fn without_queueing(handle: &Handle, index: u32) -> io::Result<()> {
    let mut message = TcMessage::with_index(index.cast_signed());
    message.header.parent = TcHandle::ROOT;
    message.attributes.push(TcAttribute::Kind("noqueue".into()));
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::NewQueueDiscipline(message));
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    let mut answers = handle.clone().request(request).map_err(answer)?;
    while let Some(message) = answers.next().await {
        if let NetlinkPayload::Error(refused) = message.payload
            && refused.code.is_some()
        {
            return Err(refused.to_io());
        }
    }
    Ok(())
}

/// The kernel's answer as an I/O error.
pub fn answer(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(answer) => answer.to_io(),
        other => io::Error::other(other),
    }
}
