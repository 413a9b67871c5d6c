//! What is measured, and by which traffic.

/// A number that every subject gets, once a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// TCP from the client, one stream. Gigabits of payload per second.
    TcpUp,
    /// TCP from the server, one stream.
    TcpDown,
    /// TCP from the client, four streams together.
    TcpFour,
    /// TCP from the client, one stream, with checksum and segmentation offload off at every device.
    TcpUpNoOffload,
    /// UDP in frames of 64 bytes, delivered to the server's device. Packets per second.
    UdpSmall,
    /// UDP with 1,400 bytes of payload.
    UdpLarge,
    /// UDP in frames of 64 bytes, received by the server's socket.
    UdpSmallSocket,
    /// TCP connections, each with a request and a response, to one server. Per second.
    Crr,
    /// Half of the responses come within this time. Microseconds.
    RttMedian,
    /// 99 of 100 do.
    RttTail,
    /// 99 of 100 do while a TCP stream fills the path.
    RttLoadedTail,
    /// Processor time of the whole machine per 10⁹ bytes of TCP payload. Seconds.
    CpuPerGigabyte,
    /// Processor time of the whole machine per million UDP packets delivered. Seconds.
    CpuPerMillionPackets,
    /// Memory per session at a million sessions. Bytes.
    BytesPerSession,
    /// From asking for the attachment to the first byte of a server's answer. Milliseconds.
    AttachToFirstByte,
    /// Half of the attachments by Wharf's API are live in the worker within this time of the request, by the client's clock; of CNI, so
    /// many `ADD`s of `bridge` have ended. Microseconds.
    AttachMedian,
    /// 99 of 100 are.
    AttachTail,
    /// From the request to the answer, half of the attachments: what was asked for is on disk then too. Microseconds.
    AttachDurableMedian,
    /// 99 of 100.
    AttachDurableTail,
    /// Resources that the API shows. Per second.
    ApiReads,
    /// Resources that are durably made or deleted, by many clients at a time. Per second.
    ApiWrites,
    /// The same by one client.
    ApiWritesAlone,
    /// From the start of a daemon that was killed until it says that it is ready. Milliseconds.
    RestartReady,
    /// The same until all its containers have their connector again.
    RestartLive,
    /// Resident memory of the daemon with all attachments. Megabytes.
    DaemonRss,
    /// Half of the functions have the first byte from a server in the VPC within this time of the trigger, in a container that was
    /// warm; by the peer, in a container that the trigger starts. Milliseconds.
    TriggerMedian,
    /// 99 of 100 have.
    TriggerTail,
    /// Of that, the mount of the code, half of them. Microseconds.
    CodeMount,
    /// What an invocation of an environment that is ready takes longer than its handler, half of them. Microseconds.
    WarmOverhead,
    /// From the first of 100 triggers at once until all are answered, with as many warm containers. Milliseconds.
    Burst,
    /// Warm containers that come. Per second.
    Refill,
    /// Memory of a warm Python container that it shares with nobody. Megabytes.
    WarmPython,
}

/// Which values are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Large ones.
    Higher,
    /// Small ones.
    Lower,
}

/// One kind of traffic, which gives the values of some metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// One TCP stream from the client.
    TcpUp,
    /// One TCP stream from the server.
    TcpDown,
    /// Four TCP streams from the client.
    TcpFour,
    /// One TCP stream from the client without offloads.
    TcpUpNoOffload,
    /// Small UDP packets, as many as the client can make, counted at the device.
    UdpSmall,
    /// Large UDP packets.
    UdpLarge,
    /// Small UDP packets, counted at the socket.
    UdpSmallSocket,
    /// Small UDP packets at a rate that every subject can carry.
    UdpPaced,
    /// Connections.
    Crr,
    /// Requests on an idle path.
    Rtt,
    /// Requests beside a TCP stream.
    RttLoaded,
}

impl Metric {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 32] = [
        Self::TcpUp,
        Self::TcpDown,
        Self::TcpFour,
        Self::TcpUpNoOffload,
        Self::UdpSmall,
        Self::UdpLarge,
        Self::UdpSmallSocket,
        Self::Crr,
        Self::RttMedian,
        Self::RttTail,
        Self::RttLoadedTail,
        Self::CpuPerGigabyte,
        Self::CpuPerMillionPackets,
        Self::BytesPerSession,
        Self::AttachToFirstByte,
        Self::AttachMedian,
        Self::AttachTail,
        Self::AttachDurableMedian,
        Self::AttachDurableTail,
        Self::ApiReads,
        Self::ApiWrites,
        Self::ApiWritesAlone,
        Self::RestartReady,
        Self::RestartLive,
        Self::DaemonRss,
        Self::TriggerMedian,
        Self::TriggerTail,
        Self::CodeMount,
        Self::WarmOverhead,
        Self::Burst,
        Self::Refill,
        Self::WarmPython,
    ];

    /// Those of the control plane, which `--only control` asks for.
    pub const CONTROL: &[Self] = Self::ALL.split_at(15).1.split_at(10).0;

    /// Those of functions, which `--only functions` asks for.
    pub const FUNCTIONS: &[Self] = Self::ALL.split_at(25).1;

    /// As the result has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TcpUp => "tcp_up_gbps",
            Self::TcpDown => "tcp_down_gbps",
            Self::TcpFour => "tcp_4_gbps",
            Self::TcpUpNoOffload => "tcp_up_nooffload_gbps",
            Self::UdpSmall => "udp_64_pps",
            Self::UdpLarge => "udp_1400_pps",
            Self::UdpSmallSocket => "udp_64_socket_pps",
            Self::Crr => "tcp_crr_per_s",
            Self::RttMedian => "rtt_p50_us",
            Self::RttTail => "rtt_p99_us",
            Self::RttLoadedTail => "rtt_loaded_p99_us",
            Self::CpuPerGigabyte => "cpu_s_per_gb",
            Self::CpuPerMillionPackets => "cpu_s_per_mpkt",
            Self::BytesPerSession => "bytes_per_session",
            Self::AttachToFirstByte => "attach_to_first_byte_ms",
            Self::AttachMedian => "attach_p50_us",
            Self::AttachTail => "attach_p99_us",
            Self::AttachDurableMedian => "attach_durable_p50_us",
            Self::AttachDurableTail => "attach_durable_p99_us",
            Self::ApiReads => "api_reads_per_s",
            Self::ApiWrites => "api_writes_per_s",
            Self::ApiWritesAlone => "api_writes_alone_per_s",
            Self::RestartReady => "restart_ready_ms",
            Self::RestartLive => "restart_live_ms",
            Self::DaemonRss => "daemon_rss_mb",
            Self::TriggerMedian => "trigger_to_first_byte_p50_ms",
            Self::TriggerTail => "trigger_to_first_byte_p99_ms",
            Self::CodeMount => "code_mount_p50_us",
            Self::WarmOverhead => "warm_overhead_p50_us",
            Self::Burst => "burst_100_ms",
            Self::Refill => "refill_per_s",
            Self::WarmPython => "warm_python_mb",
        }
    }

    /// For people: what it is, in which unit.
    pub const fn title(self) -> &'static str {
        match self {
            Self::TcpUp => "TCP, one stream up, Gbit/s",
            Self::TcpDown => "TCP, one stream down, Gbit/s",
            Self::TcpFour => "TCP, four streams up, Gbit/s",
            Self::TcpUpNoOffload => "TCP, one stream up, no offloads, Gbit/s",
            Self::UdpSmall => "UDP, 64 bytes, at the device, packets/s",
            Self::UdpLarge => "UDP, 1,400 bytes, at the device, packets/s",
            Self::UdpSmallSocket => "UDP, 64 bytes, at a socket, packets/s",
            Self::Crr => "TCP connect, request, close, per second",
            Self::RttMedian => "Request latency, p50, µs",
            Self::RttTail => "Request latency, p99, µs",
            Self::RttLoadedTail => "Request latency under load, p99, µs",
            Self::CpuPerGigabyte => "CPU of the machine per GB of TCP, s",
            Self::CpuPerMillionPackets => "CPU of the machine per million packets, s",
            Self::BytesPerSession => "Memory per session, bytes",
            Self::AttachToFirstByte => "Attach to first byte, ms",
            Self::AttachMedian => "Attach, asked to live, p50, µs",
            Self::AttachTail => "Attach, asked to live, p99, µs",
            Self::AttachDurableMedian => "Attach, asked to durable, p50, µs",
            Self::AttachDurableTail => "Attach, asked to durable, p99, µs",
            Self::ApiReads => "API, reads per second",
            Self::ApiWrites => "API, durable writes per second, many clients",
            Self::ApiWritesAlone => "API, durable writes per second, one client",
            Self::RestartReady => "Restart until ready, ms",
            Self::RestartLive => "Restart until all is attached, ms",
            Self::DaemonRss => "Memory of the daemon, MB",
            Self::TriggerMedian => "Function, trigger to first byte, p50, ms",
            Self::TriggerTail => "Function, trigger to first byte, p99, ms",
            Self::CodeMount => "Function, mount of the code, p50, µs",
            Self::WarmOverhead => "Function, overhead in a ready environment, p50, µs",
            Self::Burst => "Functions, 100 triggers at once until all are answered, ms",
            Self::Refill => "Pool of Python, warm containers per second",
            Self::WarmPython => "Memory of a warm Python container, its own, MB",
        }
    }

    /// Which values are good.
    pub const fn better(self) -> Better {
        match self {
            Self::TcpUp
            | Self::TcpDown
            | Self::TcpFour
            | Self::TcpUpNoOffload
            | Self::UdpSmall
            | Self::UdpLarge
            | Self::UdpSmallSocket
            | Self::Crr
            | Self::ApiReads
            | Self::ApiWrites
            | Self::ApiWritesAlone
            | Self::Refill => Better::Higher,
            _ => Better::Lower,
        }
    }

    /// The metric of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }
}

impl Better {
    /// As the result has it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Higher => "higher",
            Self::Lower => "lower",
        }
    }
}

impl Traffic {
    /// All of them, in the order of a round.
    pub const ALL: [Self; 11] = [
        Self::TcpUp,
        Self::TcpDown,
        Self::TcpFour,
        Self::UdpSmall,
        Self::UdpLarge,
        Self::UdpSmallSocket,
        Self::UdpPaced,
        Self::Crr,
        Self::Rtt,
        Self::RttLoaded,
        Self::TcpUpNoOffload,
    ];

    /// The metrics that one run of it gives.
    pub const fn metrics(self) -> &'static [Metric] {
        match self {
            Self::TcpUp => &[Metric::TcpUp, Metric::CpuPerGigabyte],
            Self::TcpDown => &[Metric::TcpDown],
            Self::TcpFour => &[Metric::TcpFour],
            Self::TcpUpNoOffload => &[Metric::TcpUpNoOffload],
            Self::UdpSmall => &[Metric::UdpSmall],
            Self::UdpLarge => &[Metric::UdpLarge],
            Self::UdpSmallSocket => &[Metric::UdpSmallSocket],
            Self::UdpPaced => &[Metric::CpuPerMillionPackets],
            Self::Crr => &[Metric::Crr],
            Self::Rtt => &[Metric::RttMedian, Metric::RttTail],
            Self::RttLoaded => &[Metric::RttLoadedTail],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_one_source_and_a_name_of_its_own() {
        for metric in Metric::ALL {
            let sources = Traffic::ALL.iter().filter(|traffic| traffic.metrics().contains(&metric)).count();
            let apart = matches!(metric, Metric::BytesPerSession | Metric::AttachToFirstByte)
                || Metric::CONTROL.contains(&metric)
                || Metric::FUNCTIONS.contains(&metric);
            assert_eq!(sources, usize::from(!apart), "{}", metric.name());
            assert_eq!(Metric::named(metric.name()), Some(metric));
        }
        let firsts = [Metric::CONTROL, Metric::FUNCTIONS].map(|group| (group.len(), group[0]));
        assert_eq!(firsts, [(10, Metric::AttachMedian), (7, Metric::TriggerMedian)]);
    }
}
