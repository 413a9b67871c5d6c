//! Links whose device or namespace has disappeared: noticed here or by a worker, completed here, on a thread that may wait.
//!
//! A TAP device tells its reader that it is gone. A packet socket does not always: it reports once that its device is
//! down, and says no more when the device goes for good. And it keeps its namespace alive, so that deleting the namespace
//! (`ip netns del`, the end of the process) takes only the name away. So packet uplinks are looked at from time to time.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, oneshot};
use tracing::warn;

use crate::io::Device;
use crate::placement::worker_of;
use crate::worker::Inbox;
use crate::{Event, Link, Netns, UplinkId};

/// Between two looks at the packet uplinks.
const INTERVAL: Duration = Duration::from_millis(500);

/// What the thread is told.
pub(crate) enum Message {
    /// A worker has read that the link's device is gone.
    Lost(Link),
    /// A packet uplink to look at.
    Watch(Watched),
    /// The gateway stops.
    Stop,
}

/// A packet uplink.
pub(crate) struct Watched {
    pub(crate) uplink: UplinkId,
    /// Closed when the uplink is removed, which ends the watching.
    pub(crate) device: Weak<Device>,
    /// The name of its namespace, and what it meant when the device was opened.
    pub(crate) netns: Option<(Netns, Option<Identity>)>,
}

/// Which namespace a name means: device and inode of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity(u64, u64);

impl Identity {
    /// What the name means now; `None` if it means nothing.
    pub(crate) fn of(netns: &Netns) -> Option<Self> {
        std::fs::metadata(netns.path()).ok().map(|file| Self(file.dev(), file.ino()))
    }
}

/// Starts the thread. It ends at [`Message::Stop`].
pub(crate) fn start(
    inboxes: Arc<[Arc<Inbox>]>,
    events: broadcast::Sender<Event>,
) -> io::Result<(Sender<Message>, JoinHandle<()>)> {
    let (sender, messages) = mpsc::channel();
    let losses = Losses { inboxes, events, watched: Vec::new() };
    let thread =
        std::thread::Builder::new().name("wharf-losses".into()).spawn(move || losses.run(&messages))?;
    Ok((sender, thread))
}

struct Losses {
    inboxes: Arc<[Arc<Inbox>]>,
    events: broadcast::Sender<Event>,
    watched: Vec<Watched>,
}

impl Losses {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut looked = Instant::now();
        loop {
            // Without anything to look at, the thread sleeps.
            let message = if self.watched.is_empty() {
                messages.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                messages.recv_timeout(INTERVAL.saturating_sub(looked.elapsed()))
            };
            match message {
                Ok(Message::Lost(link)) => self.complete(link),
                Ok(Message::Watch(watched)) => self.watched.push(watched),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    looked = Instant::now();
                    self.look();
                }
            }
        }
    }

    fn look(&mut self) {
        let (gone, stay): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.watched).into_iter().partition(Watched::is_gone);
        self.watched = stay;
        for watched in gone.iter().filter(|watched| watched.device.strong_count() > 0) {
            self.complete(Link::Uplink(watched.uplink));
        }
    }

    /// Takes the link from the workers that have it, closes its device, and tells everybody.
    fn complete(&self, link: Link) {
        let all = self.inboxes.len() as u32;
        let (workers, event) = match link {
            Link::Attachment(id) => (worker_of(id, all)..worker_of(id, all) + 1, Event::AttachmentGone(id)),
            Link::Uplink(id) => (0..all, Event::UplinkGone(id)),
        };
        let devices: Vec<_> = workers.filter_map(|worker| self.remove(worker, link)).collect();
        if devices.is_empty() {
            // It was removed by a call in the meantime: no loss.
            return;
        }
        warn!(%link, "its device or namespace has disappeared");
        drop(devices);
        // Nobody listens: then nobody wants to know.
        let _ = self.events.send(event);
    }

    fn remove(&self, worker: u32, link: Link) -> Option<Arc<Device>> {
        let (answer, answered) = oneshot::channel();
        self.inboxes[worker as usize].push_job_waiting(Box::new(move |w| {
            let _ = answer.send(w.remove_link(link).ok().map(|(_, device)| device));
        }));
        answered.blocking_recv().ok().flatten()
    }
}

impl Watched {
    /// Whether there is nothing left to look at: device gone, namespace deleted, or uplink removed.
    fn is_gone(&self) -> bool {
        let renamed = self.netns.as_ref().is_some_and(|(netns, before)| Identity::of(netns) != *before);
        renamed || self.device.upgrade().is_none_or(|device| device.has_gone())
    }
}
