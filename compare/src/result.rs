//! The numbers, and what there is instead of a number.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::metric::Metric;
use crate::statistics::Summary;

/// All that was found out.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// What it was found out with.
    pub settings: Map<String, Value>,
    rows: Vec<Row>,
    absent: Vec<Absent>,
    refused: Vec<Refused>,
}

/// Runs of one subject.
#[derive(Clone, Debug)]
struct Row {
    metric: Metric,
    subject: &'static str,
    values: Vec<f64>,
}

/// A subject that has no value, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Absent {
    /// Which one.
    pub subject: &'static str,
    /// Of which metric; of all, if of none in particular.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<&'static str>,
    /// Why.
    pub reason: String,
}

/// A run that does not count, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Whose run.
    pub subject: &'static str,
    /// Of which metrics.
    pub metrics: Vec<&'static str>,
    /// In which round, from 1.
    pub round: usize,
    /// Why.
    pub reason: String,
}

impl Results {
    /// None yet.
    pub fn new(settings: Map<String, Value>) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Adds the value of a run.
    pub fn add(&mut self, metric: Metric, subject: &'static str, value: f64) {
        match self.rows.iter_mut().find(|row| row.metric == metric && row.subject == subject) {
            Some(row) => row.values.push(value),
            None => self.rows.push(Row { metric, subject, values: vec![value] }),
        }
    }

    /// Says why a subject has no values.
    pub fn absent(&mut self, subject: &'static str, metric: Option<Metric>, reason: &dyn ToString) {
        self.absent.push(Absent { subject, metric: metric.map(Metric::name), reason: reason.to_string() });
    }

    /// Says why a run does not count.
    pub fn refuse(&mut self, subject: &'static str, metrics: &[Metric], round: usize, reason: &dyn ToString) {
        let metrics = metrics.iter().map(|metric| metric.name()).collect();
        self.refused.push(Refused { subject, metrics, round, reason: reason.to_string() });
    }

    /// Values of a subject, one a run.
    pub fn values(&self, metric: Metric, subject: &str) -> &[f64] {
        let row = self.rows.iter().find(|row| row.metric == metric && row.subject == subject);
        row.map_or(&[], |row| &row.values)
    }

    /// Values of a subject, summed up.
    pub fn summary(&self, metric: Metric, subject: &str) -> Option<Summary> {
        Summary::of(self.values(metric, subject))
    }

    /// How many times as large the value of wharf is.
    pub fn ratio(&self, metric: Metric, subject: &str) -> Option<f64> {
        let [wharf, other] = ["wharf", subject].map(|s| self.summary(metric, s));
        Some(wharf?.median / other.filter(|other| other.median != 0.0)?.median)
    }

    /// Metrics that have values.
    pub fn metrics(&self) -> Vec<Metric> {
        Metric::ALL.into_iter().filter(|metric| self.rows.iter().any(|row| row.metric == *metric)).collect()
    }

    /// Subjects that have values of the metric, in the order in which they came.
    pub fn subjects(&self, metric: Metric) -> Vec<&'static str> {
        self.rows.iter().filter(|row| row.metric == metric).map(|row| row.subject).collect()
    }

    /// Subjects without values.
    pub fn absentees(&self) -> &[Absent] {
        &self.absent
    }

    /// Runs that do not count.
    pub fn refusals(&self) -> &[Refused] {
        &self.refused
    }

    /// `{"settings":{…},"metrics":{"NAME":{"better":"higher","SUBJECT":[one number a run],…},…}}`.
    pub fn to_json(&self) -> Value {
        let mut settings = self.settings.clone();
        settings.insert("absent".into(), json!(self.absent));
        settings.insert("refused".into(), json!(self.refused));
        let metrics = self.metrics().into_iter().map(|metric| {
            let mut object = Map::new();
            object.insert("better".into(), metric.better().word().into());
            for row in self.rows.iter().filter(|row| row.metric == metric) {
                object.insert(row.subject.into(), json!(row.values));
            }
            (metric.name().to_owned(), Value::Object(object))
        });
        json!({"settings": settings, "metrics": metrics.collect::<Map<_, _>>()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Results {
        let mut results = Results::default();
        results.settings.insert("mtu".into(), 1500.into());
        for value in [2.0, 4.0, 3.0] {
            results.add(Metric::TcpUp, "wharf", value);
            results.add(Metric::TcpUp, "nft", value * 2.0);
        }
        results.add(Metric::RttMedian, "nft", 20.0);
        results.absent("ovs", None, &"ovs-vswitchd is missing");
        results.absent("raw", Some(Metric::BytesPerSession), &"it has no sessions");
        results.refuse("nft", &[Metric::RttMedian, Metric::RttTail], 2, &"wrong bytes");
        results
    }

    #[test]
    fn the_json_has_one_number_a_run_and_says_which_are_good() {
        let expected = json!({
            "settings": {
                "mtu": 1500,
                "absent": [
                    {"subject": "ovs", "reason": "ovs-vswitchd is missing"},
                    {"subject": "raw", "metric": "bytes_per_session", "reason": "it has no sessions"},
                ],
                "refused": [
                    {"subject": "nft", "metrics": ["rtt_p50_us", "rtt_p99_us"], "round": 2, "reason": "wrong bytes"},
                ],
            },
            "metrics": {
                "tcp_up_gbps": {"better": "higher", "wharf": [2.0, 4.0, 3.0], "nft": [4.0, 8.0, 6.0]},
                "rtt_p50_us": {"better": "lower", "nft": [20.0]},
            },
        });
        assert_eq!(some().to_json(), expected);
    }

    #[test]
    fn a_ratio_is_one_of_medians_and_there_is_none_without_both() {
        let results = some();
        assert_eq!(results.ratio(Metric::TcpUp, "nft"), Some(0.5));
        assert_eq!(results.ratio(Metric::TcpUp, "wharf"), Some(1.0));
        assert_eq!(results.ratio(Metric::TcpUp, "ovs"), None);
        assert_eq!(results.ratio(Metric::RttMedian, "nft"), None);
    }
}
