//! Links whose device or namespace has disappeared: noticed here or by a worker, completed here, on a thread that may wait.
//!
//! A TAP device of our making tells its reader that it is gone. A packet socket does not always: it reports once that its device is
//! down, and says no more when the device goes for good. And it keeps its namespace alive, as does a TAP device that was
//! taken again, so that deleting the namespace (`ip netns del`, the end of the process) takes only the name away.
//! So these are watched.

mod watch;

use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::{broadcast, oneshot};
use tracing::warn;

use self::watch::Watch;
pub(crate) use self::watch::Watched;
use crate::io::Device;
use crate::placement::worker_of;
use crate::worker::Inbox;
use crate::{Event, Lifetime, Link};

/// What the thread is told.
pub(crate) enum Message {
    /// A worker has read that the link's device is gone.
    Lost(Link),
    /// A link to watch.
    Watch(Watched),
    /// The gateway stops.
    Stop,
}

/// Where the thread is told something. Clones lead to the same one.
#[derive(Clone, Debug)]
pub(crate) struct Losses {
    messages: mpsc::Sender<Message>,
    wakeup: Arc<EventFd>,
}

impl Losses {
    /// Leaves a message; it is of no use to anybody once the thread has ended, which is after the workers.
    pub(crate) fn tell(&self, message: Message) {
        if self.messages.send(message).is_ok() {
            // EAGAIN: the counter is full of wake-ups, which is to be awake.
            let _ = self.wakeup.write(1);
        }
    }
}

/// Starts the thread. It ends at [`Message::Stop`].
pub(crate) fn start(
    inboxes: Arc<[Arc<Inbox>]>,
    events: broadcast::Sender<Event>,
) -> io::Result<(Losses, JoinHandle<()>)> {
    let (sender, messages) = mpsc::channel();
    let wakeup = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
    let epoll = Arc::new(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
    epoll.add(wakeup.as_fd(), EpollEvent::new(EpollFlags::EPOLLIN, MESSAGES))?;
    let watch = Watch::new(Arc::clone(&epoll));
    let observer = Observer { inboxes, events, messages, wakeup: Arc::clone(&wakeup), epoll, watch };
    let thread = std::thread::Builder::new().name("wharf-losses".into()).spawn(move || observer.run())?;
    Ok((Losses { messages: sender, wakeup }, thread))
}

/// The place of the messages in the set that is waited for; the watch has greater ones.
const MESSAGES: u64 = 0;

/// Events of one wake-up.
const READY: usize = 64;

struct Observer {
    inboxes: Arc<[Arc<Inbox>]>,
    events: broadcast::Sender<Event>,
    messages: Receiver<Message>,
    wakeup: Arc<EventFd>,
    epoll: Arc<Epoll>,
    watch: Watch,
}

impl Observer {
    fn run(mut self) {
        let mut ready = [EpollEvent::empty(); READY];
        loop {
            // An interrupted wait is one without events.
            let count = self.epoll.wait(&mut ready, self.watch.timeout()).unwrap_or(0);
            for event in &ready[..count] {
                match event.data() {
                    MESSAGES if self.read_messages().is_break() => return,
                    MESSAGES => {}
                    token => {
                        let gone = self.watch.handle_event(token);
                        self.complete_all(gone);
                    }
                }
            }
            let gone = self.watch.look();
            self.complete_all(gone);
        }
    }

    /// Does what was asked for; breaks at the end.
    fn read_messages(&mut self) -> ControlFlow<()> {
        // First, so that no wake-up is missed. EAGAIN: there was none.
        let _ = self.wakeup.read();
        while let Ok(message) = self.messages.try_recv() {
            match message {
                Message::Lost(link) => self.complete(link),
                Message::Watch(watched) => {
                    let gone = self.watch.add(watched);
                    self.complete_all(gone);
                }
                Message::Stop => return ControlFlow::Break(()),
            }
        }
        ControlFlow::Continue(())
    }

    fn complete_all(&self, gone: impl IntoIterator<Item = Link>) {
        for link in gone {
            self.complete(link);
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
        let Some(device) = devices.first() else {
            // It was removed by a call in the meantime: no loss.
            return;
        };
        warn!(%link, "its device or namespace has disappeared");
        // The namespace may live on without its name: a device of ours shall not. Most are gone already.
        let _ = device.set_lifetime(Lifetime::Process);
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
