//! The gateway as the control plane sees it: asynchronous calls that are answered when the workers have acted.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use gateway_core::{AddressSpace, AttachmentConfig, Command, UplinkConfig};
use nix::errno::Errno;
use tokio::sync::{broadcast, oneshot};
use tokio::task::spawn_blocking;

use crate::device::{DeviceKey, Opened, open_attachment, open_uplink, random_mac};
use crate::io::{Device, Staging};
use crate::losses::{Losses, Message, Watched};
use crate::placement::{Spread, reader_of, worker_of};
use crate::worker::{AddError, Inbox, Job, Worker};
use crate::{
    Applied, AttachmentId, AttachmentInfo, AttachmentSpec, CommandError, ConnectorConfig, ConnectorId,
    DropView, Event, Explanation, Lifetime, Link, LinkError, Origin, Question, SessionPage, SessionQuery,
    Stats, UplinkDevice, UplinkId, UplinkInfo, UplinkSpec, Verdict,
};

/// Why a call to the workers failed. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The worker refused.
    #[error(transparent)]
    Refused(#[from] CommandError),
    /// The gateway is shutting down.
    #[error("the gateway is shutting down")]
    Stopped,
}

/// Steers a running gateway. Clones steer the same one. To be used inside of a tokio runtime.
#[derive(Clone)]
pub struct Handle {
    inboxes: Arc<[Arc<Inbox>]>,
    staging: Arc<Staging>,
    next: Arc<NextIds>,
    losses: Losses,
    events: broadcast::Sender<Event>,
    /// Devices of packet uplinks: a second socket on one would see every frame too.
    packet_devices: Arc<Mutex<Vec<Claim>>>,
}

/// An existing device and, while it is open, the uplink's use of it.
type Claim = (DeviceKey, Weak<Device>);

/// Ids are given once.
#[derive(Default)]
struct NextIds {
    attachment: AtomicU32,
    uplink: AtomicU32,
}

impl Handle {
    pub(crate) fn new(
        inboxes: Arc<[Arc<Inbox>]>,
        staging: Staging,
        losses: Losses,
        events: broadcast::Sender<Event>,
    ) -> Self {
        let (next, packet_devices) = Default::default();
        Self { inboxes, staging: Arc::new(staging), next, losses, events, packet_devices }
    }

    /// Makes or opens a VPC's device and gives it to all workers.
    pub async fn add_uplink(&self, spec: UplinkSpec) -> Result<UplinkInfo, LinkError> {
        let (name, lifetime) = match &spec.device {
            UplinkDevice::Packet { name, .. } => (name.clone(), Lifetime::Process),
            UplinkDevice::Tap { name, lifetime, .. } => (name.clone(), *lifetime),
        };
        let id = UplinkId(self.next.uplink.fetch_add(1, Relaxed));
        let spread = Spread::of(id, self.workers());
        let staging = Arc::clone(&self.staging);
        let (spec, opened) =
            blocking(move || open_uplink(&staging, &spec, spread).map(|opened| (spec, opened))).await?;
        let Opened { queues, mac, mtu, key, origin, home } = opened;
        let queues: Vec<_> = queues.into_iter().map(Arc::new).collect();
        let device = Arc::clone(&queues[0]);
        let UplinkSpec { on_link, next_hops, external, reserved, ports, port_blocks, unsolicited, .. } = spec;
        let space = AddressSpace::new(external, ports, self.workers() as u16);
        let worker = spread.reader() as u16;
        let info = UplinkInfo { id, mac, mtu, worker, origin, offloads: device.offloads().to_vec() };
        let config =
            UplinkConfig { id, mac, mtu, on_link, next_hops, space, reserved, port_blocks, unsolicited };
        if key.is_some_and(|key| self.claim(key, &device).is_none()) {
            close(queues).await;
            return Err(LinkError::DeviceTaken(name));
        }
        let link = Link::Uplink(id);
        self.add_link_everywhere(link, queues, spread, Command::AddUplink(config)).await?;
        if let Err(failed) = keep(&device, origin, lifetime).await {
            let _ = self.remove_uplink(id).await;
            return Err(failed);
        }
        if key.is_some() || home.is_some() {
            self.losses.tell(Message::Watch(Watched { link, device: Arc::downgrade(&device), home }));
        }
        Ok(info)
    }

    /// Takes a VPC's device from the workers and closes it. Its sessions end first.
    pub async fn remove_uplink(&self, id: UplinkId) -> Result<Applied, CallError> {
        let mut total = Applied::default();
        let mut devices = Vec::new();
        let mut outcome = Ok(());
        for worker in 0..self.workers() {
            match self.call(worker, move |w| w.remove_link(Link::Uplink(id))).await? {
                Ok((applied, device)) => {
                    total.sessions_ended += applied.sessions_ended;
                    devices.push(device);
                }
                Err(refused) => outcome = Err(refused),
            }
        }
        close(devices).await;
        outcome.map(|()| total).map_err(CallError::from)
    }

    /// Makes a container's device, or takes it again, and gives it to one worker.
    pub async fn add_attachment(&self, spec: AttachmentSpec) -> Result<AttachmentInfo, LinkError> {
        let gateway_mac = spec.gateway_mac.map_or_else(random_mac, Ok)?;
        let staging = Arc::clone(&self.staging);
        let (spec, opened) =
            blocking(move || open_attachment(&staging, &spec).map(|opened| (spec, opened))).await?;
        let id = AttachmentId(self.next.attachment.fetch_add(1, Relaxed));
        let Opened { mut queues, mac, mtu, origin, home, .. } = opened;
        let device = Arc::new(queues.remove(0));
        let AttachmentSpec { addresses, lifetime, .. } = spec;
        let worker = self.worker_of(id);
        let offloads = device.offloads().to_vec();
        let info = AttachmentInfo { id, mac, gateway_mac, worker: worker as u16, origin, offloads };
        let config = AttachmentConfig { id, addresses, mac, gateway_mac, mtu };
        let (link, command) = (Link::Attachment(id), Command::AddAttachment(config));
        let shared = Arc::clone(&device);
        let add = move |w: &mut Worker| w.add_link(link, shared, command).map_err(AddError::from);
        let added = match self.call(worker, move |w| add(w).and_then(|()| w.watch(link))).await {
            Ok(Ok(())) => keep(&device, origin, lifetime).await,
            failed => Err(not_added(failed)),
        };
        if let Err(failed) = added {
            let _ = self.call(worker, move |w| w.remove_link(link).map(drop)).await;
            close(vec![device]).await;
            return Err(failed);
        }
        if home.is_some() {
            self.losses.tell(Message::Watch(Watched { link, device: Arc::downgrade(&device), home }));
        }
        Ok(info)
    }

    /// Takes a container's device from its worker and closes it. Its sessions end first.
    pub async fn remove_attachment(&self, id: AttachmentId) -> Result<Applied, CallError> {
        let (applied, device) =
            self.call(self.worker_of(id), move |w| w.remove_link(Link::Attachment(id))).await??;
        close(vec![device]).await;
        Ok(applied)
    }

    /// Lets a container use a connector. Answered when the container's worker has it.
    pub async fn attach(
        &self,
        attachment: AttachmentId,
        connector: ConnectorConfig,
    ) -> Result<Applied, CallError> {
        self.apply(attachment, Command::Attach { attachment, connector }).await
    }

    /// Ends the permission. Every session of the pair has ended when this returns.
    pub async fn detach(
        &self,
        attachment: AttachmentId,
        connector: ConnectorId,
    ) -> Result<Applied, CallError> {
        self.apply(attachment, Command::Detach { attachment, connector }).await
    }

    /// One page of live sessions of all workers. A page can be short, or empty, although more follow.
    pub async fn sessions(&self, mut query: SessionQuery) -> Result<SessionPage, CallError> {
        // The cursor's upper part is the worker, the lower one the place in its table.
        let worker = (query.cursor >> WORKER_SHIFT) as u32;
        query.cursor &= (1 << WORKER_SHIFT) - 1;
        if worker >= self.workers() {
            return Ok(SessionPage::default());
        }
        let mut page = self.call(worker, move |w| w.engine().sessions(w.now(), &query)).await?;
        page.next = match page.next {
            Some(place) => Some(place | u64::from(worker) << WORKER_SHIFT),
            None => Some(worker + 1)
                .filter(|&next| next < self.workers())
                .map(|next| u64::from(next) << WORKER_SHIFT),
        };
        Ok(page)
    }

    /// Counters of everything.
    pub async fn stats(&self) -> Result<Stats, CallError> {
        let mut stats = Stats::default();
        for worker in 0..self.workers() {
            stats.add(self.call(worker, move |w| Stats::of(worker as u16, w)).await?);
        }
        Ok(stats)
    }

    /// Returns when every worker has answered once.
    pub async fn ready(&self) -> Result<(), CallError> {
        for worker in 0..self.workers() {
            self.call(worker, |_| ()).await?;
        }
        Ok(())
    }

    /// What would happen to a packet from this link, by the engines' own decisions. Changes nothing.
    ///
    /// An uplink's packet is explained by the worker that reads it, or by the one that it is handed to. What is said of a container's
    /// packet that comes back inside, to another worker, ends with [`Verdict::HandOff`]; so does a datagram that an uplink's last
    /// fragment completes.
    pub async fn explain(&self, from: Link, question: Question) -> Result<Explanation, CallError> {
        let reader = match from {
            Link::Attachment(id) => self.worker_of(id),
            Link::Uplink(id) => reader_of(id, self.workers()),
        };
        let explained = self.ask(reader, from, &question).await?;
        match (from, explained.verdict) {
            (Link::Uplink(_), Verdict::HandOff { to, from }) if explained.steps.is_empty() => {
                self.ask(to.into(), Link::Uplink(from), &question).await
            }
            _ => Ok(explained),
        }
    }

    async fn ask(&self, worker: u32, from: Link, question: &Question) -> Result<Explanation, CallError> {
        let question = question.clone();
        Ok(self.call(worker, move |w| question.ask(w.engine(), w.now(), from)).await??)
    }

    /// The container's last drops, newest first.
    pub async fn recent_drops(&self, attachment: AttachmentId) -> Result<Vec<DropView>, CallError> {
        let worker = self.worker_of(attachment);
        Ok(self.call(worker, move |w| w.engine().recent_drops(w.now(), attachment)).await??)
    }

    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Notes that a packet uplink uses the device; `None` if another one does.
    fn claim(&self, key: DeviceKey, device: &Arc<Device>) -> Option<()> {
        let mut taken = self.packet_devices.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|(_, device)| device.strong_count() > 0);
        if taken.iter().any(|(other, _)| *other == key) {
            return None;
        }
        taken.push((key, Arc::downgrade(device)));
        Some(())
    }

    fn workers(&self) -> u32 {
        self.inboxes.len() as u32
    }

    fn worker_of(&self, attachment: AttachmentId) -> u32 {
        worker_of(attachment, self.workers())
    }

    async fn apply(&self, attachment: AttachmentId, command: Command) -> Result<Applied, CallError> {
        Ok(self.call(self.worker_of(attachment), move |w| w.apply(command)).await??)
    }

    /// Gives a link to every worker, or to none.
    async fn add_link_everywhere(
        &self,
        link: Link,
        queues: Vec<Arc<Device>>,
        spread: Spread,
        command: Command,
    ) -> Result<(), LinkError> {
        let added = self.add_and_watch(link, &queues, spread, command).await;
        if !matches!(added, Ok(Ok(()))) {
            for worker in 0..self.workers() {
                // Some do not have it.
                let _ = self.call(worker, move |w| w.remove_link(link).map(drop)).await;
            }
            close(queues).await;
            return Err(not_added(added));
        }
        Ok(())
    }

    /// Nobody reads before all have the link: they can then take what is handed off, and a loss that one of them notices is
    /// everybody's.
    async fn add_and_watch(
        &self,
        link: Link,
        queues: &[Arc<Device>],
        spread: Spread,
        command: Command,
    ) -> Result<Result<(), AddError>, CallError> {
        for worker in 0..self.workers() {
            let (device, command) = (Arc::clone(spread.pick(queues, worker)), command.clone());
            if let Err(failed) = self.call(worker, move |w| w.add_link(link, device, command)).await? {
                return Ok(Err(failed.into()));
            }
        }
        for worker in (0..self.workers()).filter(|&worker| spread.reads(queues, worker)) {
            if let Err(failed) = self.call(worker, move |w| w.watch(link)).await? {
                return Ok(Err(failed));
            }
        }
        Ok(Ok(()))
    }

    /// Does `job` on a worker's thread, between two batches.
    async fn call<T: Send + 'static>(
        &self,
        worker: u32,
        job: impl FnOnce(&mut Worker) -> T + Send + 'static,
    ) -> Result<T, CallError> {
        let (answer, answered) = oneshot::channel();
        let mut job: Job = Box::new(move |w| {
            // Whoever asked may have gone; the job is done all the same.
            let _ = answer.send(job(w));
        });
        let inbox = &self.inboxes[worker as usize];
        while let Err(back) = inbox.push_job(job) {
            job = back;
            tokio::task::yield_now().await;
        }
        answered.await.map_err(|_| CallError::Stopped)
    }
}

/// Sessions of a worker are numbered below this bit of a cursor.
const WORKER_SHIFT: u32 = 40;

/// Closes devices where waiting is allowed: to unregister one, the kernel waits for all its readers.
async fn close(devices: Vec<Arc<Device>>) {
    let _ = spawn_blocking(move || devices.iter().for_each(|device| device.delete())).await;
}

/// Makes a new device last, if it shall: the last thing, so that whoever fails or gives up before leaves none.
async fn keep(device: &Arc<Device>, origin: Origin, lifetime: Lifetime) -> Result<(), LinkError> {
    if origin == Origin::TakenAgain || lifetime == Lifetime::Process {
        return Ok(());
    }
    let device = Arc::clone(device);
    // The kernel's lock for network configuration is waited for.
    let kept = blocking(move || Ok(device.set_lifetime(lifetime))).await?;
    kept.map_err(|errno| match errno {
        Errno::EBADFD => LinkError::Disappeared,
        other => LinkError::System { step: "make the device last", source: other.into() },
    })
}

async fn blocking<T: Send + 'static>(
    make: impl FnOnce() -> Result<T, LinkError> + Send + 'static,
) -> Result<T, LinkError> {
    match spawn_blocking(make).await {
        Ok(outcome) => outcome,
        Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
        Err(_) => Err(LinkError::Stopped),
    }
}

fn not_added(outcome: Result<Result<(), AddError>, CallError>) -> LinkError {
    match outcome {
        Ok(Ok(())) => unreachable!("it was added"),
        Ok(Err(AddError::Refused(refused))) | Err(CallError::Refused(refused)) => LinkError::Refused(refused),
        Ok(Err(AddError::Watch(source))) => LinkError::System { step: "watch the device", source },
        Err(CallError::Stopped) => LinkError::Stopped,
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("workers", &self.workers()).finish_non_exhaustive()
    }
}
