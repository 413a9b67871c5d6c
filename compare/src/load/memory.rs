//! What sessions take: of a program's memory, or of the kernel's.

use std::{fs, io};

use super::LoadError;

/// Memory of one process. Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessMemory {
    /// Resident, with what is shared with others.
    pub rss: u64,
    /// Resident, what is shared counted in parts.
    pub pss: u64,
    /// Resident and its own.
    pub private: u64,
}

/// Memory of the kernel, of all namespaces. Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelMemory {
    /// All slabs: connection tracking's entries with their extensions, and everything else.
    pub slab: u64,
    /// Of these, the pages of connection tracking's entries, without their extensions.
    pub conntrack_objects: u64,
    /// The hash table of connection tracking, which is in no slab.
    pub conntrack_table: u64,
}

/// Memory of the process `pid`, by its `smaps_rollup`.
pub fn process(pid: u32) -> Result<ProcessMemory, LoadError> {
    let file = format!("/proc/{pid}/smaps_rollup");
    let text = read(&file)?;
    let bytes = |field: &str| kibibytes(&text, field).ok_or_else(|| missing(&file, field));
    Ok(ProcessMemory {
        rss: bytes("Rss:")?,
        pss: bytes("Pss:")?,
        private: bytes("Private_Clean:")? + bytes("Private_Dirty:")?,
    })
}

/// Memory of the kernel now. What belongs to sessions is what is more than before they were opened.
pub fn kernel() -> Result<KernelMemory, LoadError> {
    let slab = kibibytes(&read(MEMINFO)?, "Slab:").ok_or_else(|| missing(MEMINFO, "Slab:"))?;
    // Both are absent until something has used connection tracking.
    let conntrack_objects = cache(&read(SLABINFO)?, CONNTRACK).unwrap_or(0) * page_size();
    let buckets = number(HASH_SIZE).unwrap_or(0);
    Ok(KernelMemory { slab, conntrack_objects, conntrack_table: buckets * BUCKET })
}

/// Room for connections in the kernel's table, which all namespaces share. The old sizes return on drop.
#[derive(Debug)]
pub struct ConntrackLimit {
    most: u64,
    buckets: u64,
}

impl ConntrackLimit {
    /// Lets the kernel track at least `connections`, with as many buckets, which is the kernel's own ratio
    /// (`nf_conntrack_init_start`, net/netfilter/nf_conntrack_core.c).
    pub fn raise(connections: u64) -> Result<Self, LoadError> {
        let before = Self { most: number(MOST)?, buckets: number(HASH_SIZE)? };
        if before.buckets < connections {
            write(HASH_SIZE, connections)?;
        }
        // From here on, dropping restores.
        if before.most < connections {
            write(MOST, connections)?;
        }
        Ok(before)
    }
}

impl Drop for ConntrackLimit {
    fn drop(&mut self) {
        // The table was of these sizes before; a kernel that refuses keeps the larger ones.
        let _ = write(MOST, self.most);
        let _ = write(HASH_SIZE, self.buckets);
    }
}

/// A line `Field:  123 kB`, in bytes.
fn kibibytes(text: &str, field: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    let value: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(value * 1024)
}

/// Pages of a slab cache: `name active objects size per-slab pages-per-slab : tunables … : slabdata active slabs shared`
/// (slabinfo(5)).
fn cache(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.split_ascii_whitespace().next() == Some(name))?;
    let (sizes, slabs) = line.split_once(": tunables")?;
    let pages: u64 = sizes.split_ascii_whitespace().nth(5)?.parse().ok()?;
    let slabs: u64 = slabs.split_once(": slabdata")?.1.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * slabs)
}

fn page_size() -> u64 {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    size.and_then(|size| u64::try_from(size).ok()).expect("the kernel has a page size")
}

fn number(file: &str) -> Result<u64, LoadError> {
    read(file)?.trim().parse().map_err(|_| missing(file, "number"))
}

fn read(file: &str) -> Result<String, LoadError> {
    fs::read_to_string(file).map_err(LoadError::system(format!("read {file}")))
}

fn write(file: &str, value: u64) -> Result<(), LoadError> {
    let wrote: io::Result<()> = fs::write(file, value.to_string());
    wrote.map_err(LoadError::system(format!("write {value} to {file}")))
}

fn missing(file: &str, field: &str) -> LoadError {
    LoadError::Unreadable { file: file.into(), field: field.into() }
}

const MEMINFO: &str = "/proc/meminfo";
const SLABINFO: &str = "/proc/slabinfo";
const CONNTRACK: &str = "nf_conntrack";

/// Buckets of the table. Writable in the first network namespace.
const HASH_SIZE: &str = "/sys/module/nf_conntrack/parameters/hashsize";

/// Most connections at a time. Writable in the first network namespace.
const MOST: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// Bytes of a bucket: one pointer (`struct hlist_nulls_head`).
const BUCKET: u64 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_are_read_in_their_units() {
        let text = "Rss:               5120 kB\nPss:       7 kB\nPss_Dirty: 9 kB\n";
        assert_eq!(kibibytes(text, "Rss:"), Some(5120 * 1024));
        assert_eq!(kibibytes(text, "Pss:"), Some(7 * 1024));
        assert_eq!(kibibytes(text, "Slab:"), None);
        assert_eq!(kibibytes("Rss: 5120 MB", "Rss:"), None);
    }

    #[test]
    fn a_slab_cache_counts_all_its_pages() {
        let text = "slabinfo - version: 2.1\n# name\nnf_conntrack_expect 0 0 216 18 1 : tunables 0 0 0 : slabdata 3 4 0\nnf_conntrack 200 224 256 16 2 : tunables 0 0 0 : slabdata 13 14 0\n";
        assert_eq!(cache(text, "nf_conntrack"), Some(28));
        assert_eq!(cache(text, "nf"), None);
    }

    #[test]
    fn memory_of_this_process_grows_with_what_it_writes() {
        let own = std::process::id();
        let before = process(own).unwrap();
        let kept = vec![1_u8; 64 << 20];
        let after = process(own).unwrap();
        assert!(after.private >= before.private + (60 << 20), "{before:?} {after:?}");
        assert!(after.pss <= after.rss && kept.iter().all(|&byte| byte == 1));
    }
}
