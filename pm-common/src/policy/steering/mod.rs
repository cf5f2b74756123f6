//! Which lane gets a new connection: the classic BPF program of a SO_REUSEPORT group.
//!
//! The program names lanes by their index in the kernel's group and never returns another number: for an index out of
//! range the kernel would hash over all sockets of the group, the drained ones included. Jumps in classic BPF reach 255
//! instructions, so nothing here jumps further than over one run of neighbouring indexes.

pub mod rendezvous;

/// One classic BPF instruction, as `struct sock_filter` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// Class, size, mode or operation.
    pub code: u16,
    /// Instructions to skip if the comparison holds.
    pub jt: u8,
    /// Instructions to skip if it does not.
    pub jf: u8,
    /// The constant.
    pub k: u32,
}

/// The longest program that the kernel takes (BPF_MAXINSNS).
pub const MOST_INSTRUCTIONS: usize = 4096;

// linux/bpf_common.h and linux/filter.h: class | size or operation | mode or source.
const LOAD_WORD: u16 = 0x20; // LD | W | ABS
const LOAD_HALF: u16 = 0x28; // LD | H | ABS
const LOAD_BYTE: u16 = 0x30; // LD | B | ABS
const LOAD_HALF_AT_X: u16 = 0x48; // LD | H | IND
const LOAD_HEADER_LENGTH: u16 = 0xb1; // LDX | B | MSH: X = 4 * (byte & 15)
const LOAD_KEPT: u16 = 0x60; // LD | MEM
const LOAD_NUMBER: u16 = 0x00; // LD | IMM
const KEEP: u16 = 0x02; // ST
const ADD: u16 = 0x04; // ALU | ADD | K
const ADD_X: u16 = 0x0c; // ALU | ADD | X
const MULTIPLY: u16 = 0x24; // ALU | MUL | K
const XOR_X: u16 = 0xac; // ALU | XOR | X
const TO_X: u16 = 0x07; // MISC | TAX
const SHIFT_RIGHT: u16 = 0x74; // ALU | RSH | K
const MODULO: u16 = 0x94; // ALU | MOD | K
const SKIP: u16 = 0x05; // JMP | JA
const IF_EQUAL: u16 = 0x15; // JMP | JEQ | K
const IF_AT_LEAST: u16 = 0x35; // JMP | JGE | K
const IF_ABOVE_X: u16 = 0x2d; // JMP | JGT | X
const RETURN: u16 = 0x06; // RET | K
const RETURN_SUM: u16 = 0x16; // RET | A

/// SKF_AD_OFF + SKF_AD_RANDOM: a random word.
const RANDOM: u32 = 0xffff_f000 + 56;
/// SKF_NET_OFF: from here the offsets count from the network header.
const NETWORK_HEADER: u32 = 0xfff0_0000;
/// IPv6 has a header of fixed length; the ports follow it unless there are extension headers (then other bytes choose,
/// still a lane in service).
const IPV6_HEADER: u32 = 40;

/// The program that gives each new connection to one of the `lanes` in service at random; they are named by their index
/// in the group.
/// Repeated indexes are one; the order does not matter.
///
/// `None` for no lane at all, and for a list so torn (more than 1,362 separate runs of neighbours) that the program would
/// be longer than [`MOST_INSTRUCTIONS`]: the caller keeps the program that is attached, and says so.
#[must_use]
pub fn program(lanes: &[u32]) -> Option<Vec<Instruction>> {
    let runs = runs(lanes);
    let count = runs.iter().map(|run| run.length).sum::<u32>();
    if count == 0 {
        return None;
    }
    let mut out = vec![plain(LOAD_WORD, RANDOM), plain(MODULO, count)];
    let (last, others) = runs.split_last()?;
    for run in others {
        out.push(Instruction { code: IF_AT_LEAST, jt: 2, jf: 0, k: run.from + run.length });
        run.choose(&mut out);
    }
    // The kernel refuses a jump past the end; what is left lies in the last run.
    last.choose(&mut out);
    (out.len() <= MOST_INSTRUCTIONS).then_some(out)
}

/// Neighbouring indexes: the drawn numbers `from..from + length` stand for the lanes `start..start + length`.
struct Run {
    from: u32,
    start: u32,
    length: u32,
}

impl Run {
    /// Returns the lane that the drawn number stands for.
    fn choose(&self, out: &mut Vec<Instruction>) {
        out.push(plain(ADD, self.start.wrapping_sub(self.from)));
        out.push(plain(RETURN_SUM, 0));
    }
}

/// Makes the program of [`program`] with some source ports whose connections go to one lane each, in service or not.
#[must_use]
pub fn program_with(lanes: &[u32], sources: &[(u16, u32)]) -> Option<Vec<Instruction>> {
    before(sources, program(lanes)?)
}

/// Puts the source ports whose connections go to one lane each before the program for all others.
fn before(sources: &[(u16, u32)], rest: Vec<Instruction>) -> Option<Vec<Instruction>> {
    if sources.is_empty() {
        return Some(rest);
    }
    let mut out = source_port();
    for (port, lane) in sources {
        out.push(Instruction { code: IF_EQUAL, jt: 0, jf: 1, k: u32::from(*port) });
        out.push(plain(RETURN, *lane));
    }
    out.extend(rest);
    (out.len() <= MOST_INSTRUCTIONS).then_some(out)
}

fn runs(lanes: &[u32]) -> Vec<Run> {
    let mut sorted = lanes.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut runs: Vec<Run> = Vec::new();
    for (from, lane) in (0..).zip(sorted) {
        match runs.last_mut() {
            Some(run) if run.start + run.length == lane => run.length += 1,
            _ => runs.push(Run { from, start: lane, length: 1 }),
        }
    }
    runs
}

/// Instructions that leave the client's port in the accumulator. The version is looked at in each packet: a dual-stack
/// socket gets both.
fn source_port() -> Vec<Instruction> {
    vec![
        plain(LOAD_BYTE, NETWORK_HEADER),
        plain(SHIFT_RIGHT, 4),
        Instruction { code: IF_EQUAL, jt: 3, jf: 0, k: 6 },
        plain(LOAD_HEADER_LENGTH, NETWORK_HEADER),
        plain(LOAD_HALF_AT_X, NETWORK_HEADER),
        plain(SKIP, 1),
        plain(LOAD_HALF, NETWORK_HEADER + IPV6_HEADER),
    ]
}

fn plain(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

#[cfg(test)]
mod tests;
