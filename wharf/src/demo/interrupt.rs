//! SIGINT, SIGTERM and SIGHUP, as something to ask for between two steps.
//!
//! Every step is bounded by seconds, so that asking is soon enough, and everything is removed by ordinary drops.

use std::sync::mpsc::{self, Receiver};

use tokio::signal::unix::{SignalKind, signal};

use super::error::DemoError;

/// Tells whether somebody wants the demo to end.
pub(super) struct Interrupt(Receiver<()>);

impl Interrupt {
    /// Takes the signals over.
    pub(super) fn listen() -> Result<Self, DemoError> {
        let failed = DemoError::system("listen for signals");
        let (sender, receiver) = mpsc::channel();
        listener(sender).map_err(failed)?;
        Ok(Self(receiver))
    }

    /// An error if a signal has arrived.
    pub(super) fn check(&self) -> Result<(), DemoError> {
        match self.0.try_recv() {
            Ok(()) => Err(DemoError::Interrupted),
            Err(_) => Ok(()),
        }
    }

    /// Waits for a signal.
    pub(super) fn wait(&self) {
        // An error means that the listener is gone, and then there is nothing to wait for.
        let _ = self.0.recv();
    }
}

fn listener(sender: mpsc::Sender<()>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    drop(entered);
    let forward = async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            if sender.send(()).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("demo-signals".into()).spawn(move || runtime.block_on(forward))?;
    Ok(())
}
