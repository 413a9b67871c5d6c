//! Any sequence of commands, frames of both sides and steps of time, for one worker or two.

mod hosts;
mod invariants;
mod traffic;
mod world;

use std::time::Duration;

use gateway_core::Command;

use self::world::World;
use crate::input::Input;

/// Begins with two containers that have a connector to one VPC, then does what the input says.
pub fn engine(data: &[u8]) {
    let mut input = Input::new(data);
    let bits = input.byte();
    let mut world = World::new(bits & 1 != 0, bits & 2 == 0);
    for _ in 0..2 {
        world.step(SETUP[0], &mut input);
    }
    for step in &SETUP[1..] {
        world.step(*step, &mut input);
    }
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let step = Step::decode(input.byte());
        world.step(step, &mut input);
        world.check();
    }
    world.finish(bits >> 2);
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    AddUplink,
    RemoveUplink,
    AddAttachment,
    RemoveAttachment,
    Attach,
    Detach,
    /// A packet of a container to anybody.
    Outbound,
    /// A packet of a VPC to any external endpoint.
    Inbound,
    /// A packet of a live session.
    Session,
    /// An ICMP error about a packet that left.
    Error,
    /// A fragmented packet of a live session.
    Fragments,
    /// ARP or Neighbor Discovery.
    Neighbor,
    /// Many packets of one kind, to come near the bounds.
    Burst,
    /// Any bytes.
    Raw,
    Wait,
}

impl Step {
    /// Traffic is more likely than changes.
    const LIKELY: [Self; 25] = [
        Self::Outbound,
        Self::Inbound,
        Self::Session,
        Self::Wait,
        Self::Attach,
        Self::Detach,
        Self::Error,
        Self::Fragments,
        Self::Neighbor,
        Self::AddUplink,
        Self::RemoveUplink,
        Self::AddAttachment,
        Self::RemoveAttachment,
        Self::Raw,
        Self::Outbound,
        Self::Inbound,
        Self::Session,
        Self::Session,
        Self::Wait,
        Self::Attach,
        Self::Outbound,
        Self::Session,
        Self::Error,
        Self::Fragments,
        Self::Burst,
    ];

    fn decode(byte: u8) -> Self {
        Self::LIKELY[usize::from(byte) % Self::LIKELY.len()]
    }

    /// The byte that [`Self::decode`] takes for it.
    pub(crate) fn encode(self) -> u8 {
        let place = Self::LIKELY.iter().position(|&step| step == self);
        place.expect("every step is among them") as u8
    }
}

impl World {
    fn step(&mut self, step: Step, input: &mut Input<'_>) {
        match step {
            Step::AddUplink => self.add_uplink(input),
            Step::RemoveUplink => {
                if let Some((_, uplink)) = self.uplink(input) {
                    self.forget_uplink(uplink);
                    self.net.apply(&Command::RemoveUplink(uplink)).expect("the uplink is there");
                }
            }
            Step::AddAttachment => self.add_attachment(input),
            Step::RemoveAttachment => {
                if let Some((_, attachment)) = self.attachment(input) {
                    self.forget_attachment(attachment);
                    let command = Command::RemoveAttachment(attachment);
                    self.net.apply(&command).expect("the container is there");
                }
            }
            Step::Attach => self.attach(input),
            Step::Detach => self.detach(input),
            Step::Outbound => self.send_outbound(input),
            Step::Inbound => self.send_inbound(input),
            Step::Session => self.send_of_session(input),
            Step::Error => self.send_error(input),
            Step::Fragments => self.send_fragments(input),
            Step::Neighbor => self.send_neighbor(input),
            Step::Burst => self.send_burst(input),
            Step::Raw => self.send_raw(input),
            Step::Wait => {
                let wait = input.one_of(&WAITS);
                let out = self.net.wait(wait);
                self.saw(out);
            }
        }
    }
}

/// What every input begins with; the attachments come first.
const SETUP: [Step; 4] = [Step::AddAttachment, Step::AddUplink, Step::Attach, Step::Attach];

/// Steps of one input.
const STEPS: usize = 64;

/// Around the engine's timers.
const WAITS: [Duration; 12] = [
    Duration::from_millis(1),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(6),
    Duration::from_secs(31),
    Duration::from_secs(61),
    Duration::from_secs(119),
    Duration::from_secs(121),
    Duration::from_secs(240),
    Duration::from_secs(301),
    Duration::from_secs(1_000),
    Duration::from_secs(7_441),
];
