//! Writes small files in MaxMind's format: <https://maxmind.github.io/MaxMind-DB/>.
//!
//! Records of 24 bits, one tree for IPv4 or for IPv6 (where IPv4 lies in `::/96`), and records
//! with a country and one subdivision, as files with cities have them.

use ipnet::IpNet;

/// A network and where it is: a country, and one of its subdivisions.
pub(crate) type Entry<'a> = (&'a str, &'a str, Option<&'a str>);

/// The marker that begins the metadata.
const MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// The zeros between tree and data.
const SEPARATOR: usize = 16;

/// The types of values.
const TEXT: u8 = 2;
const UINT16: u8 = 5;
const UINT32: u8 = 6;
const MAP: u8 = 7;
const UINT64: u8 = 9;
const ARRAY: u8 = 11;

/// What one half of a node of the tree leads to.
#[derive(Clone, Copy)]
enum Record {
    Nothing,
    Node(usize),
    /// A place in the data section.
    Data(usize),
}

/// A file for `ip_version` (4 or 6) with these networks, built at `epoch`.
pub(crate) fn mmdb(ip_version: u16, entries: &[Entry<'_>], epoch: u64) -> Vec<u8> {
    let mut nodes = vec![[Record::Nothing; 2]];
    let mut data = Vec::new();
    for (network, country, region) in entries {
        let bits = bits(ip_version, network.parse().unwrap());
        let place = Record::Data(data.len());
        record(country, *region, &mut data);
        insert(&mut nodes, &bits, place);
    }
    let mut file = Vec::new();
    for value in nodes.iter().flatten().map(|record| match record {
        Record::Nothing => nodes.len(),
        Record::Node(node) => *node,
        Record::Data(offset) => nodes.len() + SEPARATOR + offset,
    }) {
        file.extend(&u32::try_from(value).unwrap().to_be_bytes()[1..]);
    }
    file.extend([0; SEPARATOR]);
    file.extend(data);
    file.extend(MARKER);
    metadata(ip_version, nodes.len(), epoch, &mut file);
    file
}

/// The bits of a network in the tree.
fn bits(ip_version: u16, network: IpNet) -> Vec<u8> {
    let (address, width) = match network {
        IpNet::V4(v4) => (u128::from(u32::from(v4.network())), 32),
        IpNet::V6(v6) => (u128::from(v6.network()), 128),
    };
    let before = if ip_version == 6 { 128 - width } else { 0 };
    let of = |at: u8| u8::try_from(address >> (width - 1 - at) & 1).unwrap();
    (0..before).map(|_| 0).chain((0..network.prefix_len()).map(of)).collect()
}

fn insert(nodes: &mut Vec<[Record; 2]>, bits: &[u8], place: Record) {
    let (last, way) = bits.split_last().expect("a network has bits");
    let mut node = 0;
    for bit in way {
        node = match nodes[node][usize::from(*bit)] {
            Record::Node(next) => next,
            Record::Nothing => {
                nodes.push([Record::Nothing; 2]);
                let next = nodes.len() - 1;
                nodes[node][usize::from(*bit)] = Record::Node(next);
                next
            }
            Record::Data(_) => panic!("networks inside each other"),
        };
    }
    nodes[node][usize::from(*last)] = place;
}

fn record(country: &str, region: Option<&str>, out: &mut Vec<u8>) {
    header(MAP, 1 + usize::from(region.is_some()), out);
    text("country", out);
    header(MAP, 1, out);
    text("iso_code", out);
    text(country, out);
    if let Some(region) = region {
        text("subdivisions", out);
        header(ARRAY, 1, out);
        header(MAP, 1, out);
        text("iso_code", out);
        text(region, out);
    }
}

fn metadata(ip_version: u16, nodes: usize, epoch: u64, out: &mut Vec<u8>) {
    header(MAP, 9, out);
    let mut number = |key: &str, kind: u8, width: usize, value: u64| {
        text(key, out);
        header(kind, width, out);
        out.extend(&value.to_be_bytes()[8 - width..]);
    };
    number("binary_format_major_version", UINT16, 2, 2);
    number("binary_format_minor_version", UINT16, 2, 0);
    number("build_epoch", UINT64, 8, epoch);
    number("ip_version", UINT16, 2, u64::from(ip_version));
    number("node_count", UINT32, 4, nodes as u64);
    number("record_size", UINT16, 2, 24);
    text("database_type", out);
    text("Test-City", out);
    text("languages", out);
    header(ARRAY, 0, out);
    text("description", out);
    header(MAP, 1, out);
    text("en", out);
    text("made by a test", out);
}

/// The type of a value and its size, which is below 29 here.
fn header(kind: u8, size: usize, out: &mut Vec<u8>) {
    let size = u8::try_from(size).unwrap();
    assert!(size < 29, "a longer value needs more bytes for its size");
    match kind {
        1..=7 => out.push(kind << 5 | size),
        _ => out.extend([size, kind - 7]),
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    header(TEXT, text.len(), out);
    out.extend(text.as_bytes());
}
