//! What the processes of a container write, line by line.

use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime};

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver as Pipe;
use tokio::sync::mpsc;

use crate::limits::LINE_BYTES;

/// Where a line of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A line that a process in the container has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLine {
    /// When it was read.
    pub at: SystemTime,
    /// Where it came from.
    pub stream: Stream,
    /// The line without its end; what is longer than the bound is cut into several. Bytes that are no UTF-8 are replaced.
    pub text: String,
}

/// How long nothing is read while nobody takes what was.
const FULL_PAUSE: Duration = Duration::from_millis(5);

/// Sends every line of the pipe until all its writers have ended. Whoever does not keep up loses lines.
pub(crate) async fn follow(
    pipe: OwnedFd,
    stream: Stream,
    lines: mpsc::Sender<OutputLine>,
) -> std::io::Result<()> {
    let mut pipe = Pipe::from_owned_fd(pipe)?;
    let mut waiting = Vec::with_capacity(4 * LINE_BYTES);
    let send = |line: &[u8]| {
        let text = String::from_utf8_lossy(line).into_owned();
        // A function that writes faster than anybody reads must not hold memory for it.
        _ = lines.try_send(OutputLine { at: SystemTime::now(), stream, text });
    };
    while pipe.read_buf(&mut waiting).await? > 0 {
        // Who writes faster than anybody reads waits for it.
        if lines.capacity() == 0 {
            tokio::time::sleep(FULL_PAUSE).await;
        }
        let mut rest = 0;
        while let Some(length) = line_of(&waiting[rest..]) {
            send(waiting[rest..rest + length].strip_suffix(b"\n").unwrap_or(&waiting[rest..rest + length]));
            rest += length;
        }
        waiting.drain(..rest);
    }
    if !waiting.is_empty() {
        send(&waiting);
    }
    Ok(())
}

/// Bytes of the first line, its end included; `None` if it has not ended yet.
fn line_of(bytes: &[u8]) -> Option<usize> {
    let bound = bytes.len().min(LINE_BYTES);
    match bytes[..bound].iter().position(|byte| *byte == b'\n') {
        Some(end) => Some(end + 1),
        None => (bound == LINE_BYTES).then_some(LINE_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn lines_come_as_they_were_written_and_long_ones_are_cut() {
        let (reader, writer) = std::io::pipe().unwrap();
        let (lines, mut taken) = mpsc::channel(16);
        let follower = tokio::spawn(follow(reader.into(), Stream::Stderr, lines));
        let mut writer = writer;
        writer.write_all(b"one\n\nthr").unwrap();
        writer.write_all(b"ee\n\xff\n").unwrap();
        writer.write_all(&vec![b'x'; LINE_BYTES + 1]).unwrap();
        drop(writer);
        let mut texts = Vec::new();
        while let Some(line) = taken.recv().await {
            assert_eq!(line.stream, Stream::Stderr);
            texts.push(line.text);
        }
        follower.await.unwrap().unwrap();
        let long = "x".repeat(LINE_BYTES);
        assert_eq!(texts, ["one", "", "three", "\u{fffd}", &long, "x"]);
    }
}
