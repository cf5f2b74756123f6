//! Which lane gets a new connection: the classic BPF program of a SO_REUSEPORT group.
//!
//! The program names lanes by their index in the kernel's group and never returns another number: for an index out of
//! range the kernel would hash over all sockets of the group, the drained ones included. Jumps in classic BPF reach 255
//! instructions, so nothing here jumps further than over one run of neighbouring indexes.

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
const ADD: u16 = 0x04; // ALU | ADD | K
const SHIFT_RIGHT: u16 = 0x74; // ALU | RSH | K
const MODULO: u16 = 0x94; // ALU | MOD | K
const SKIP: u16 = 0x05; // JMP | JA
const IF_EQUAL: u16 = 0x15; // JMP | JEQ | K
const IF_AT_LEAST: u16 = 0x35; // JMP | JGE | K
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
    let rest = program(lanes)?;
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
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// What the kernel does with a program: `random` is the drawn word, `packet` starts at the network header.
    fn interpret(program: &[Instruction], random: u32, packet: &[u8]) -> u32 {
        let (mut a, mut x, mut at) = (0u32, 0u32, 0usize);
        let byte = |k: u32| u32::from(packet[(k.wrapping_sub(NETWORK_HEADER)) as usize]);
        let half = |k: u32| byte(k) << 8 | byte(k + 1);
        loop {
            let one = program[at];
            at += 1;
            match one.code {
                LOAD_WORD if one.k == RANDOM => a = random,
                LOAD_BYTE => a = byte(one.k),
                LOAD_HALF => a = half(one.k),
                LOAD_HALF_AT_X => a = half(one.k + x),
                LOAD_HEADER_LENGTH => x = 4 * (byte(one.k) & 15),
                ADD => a = a.wrapping_add(one.k),
                SHIFT_RIGHT => a >>= one.k,
                MODULO => a %= one.k,
                SKIP => at += one.k as usize,
                IF_EQUAL => at += usize::from(if a == one.k { one.jt } else { one.jf }),
                IF_AT_LEAST => at += usize::from(if a >= one.k { one.jt } else { one.jf }),
                RETURN => return one.k,
                RETURN_SUM => return a,
                other => panic!("not an instruction that the program may use: {other:#x}"),
            }
        }
    }

    /// The kernel's own check: the last instruction returns, no jump leaves the program, the length is in bounds.
    fn assert_loadable(program: &[Instruction]) {
        assert!(program.len() <= MOST_INSTRUCTIONS);
        assert_eq!(program.last().expect("not empty").code, RETURN_SUM);
        for (at, one) in program.iter().enumerate() {
            let reach = match one.code {
                SKIP => one.k as usize,
                IF_EQUAL | IF_AT_LEAST => usize::from(one.jt.max(one.jf)),
                _ => continue,
            };
            assert!(at + 1 + reach < program.len(), "instruction {at} jumps out of the program");
        }
    }

    fn assert_even(lanes: &[u32]) {
        let program = program(lanes).expect("a program");
        assert_loadable(&program);
        let mut hits = BTreeMap::new();
        for random in 0..lanes.len() as u32 * 3 {
            *hits.entry(interpret(&program, random, &[])).or_insert(0) += 1;
        }
        let mut wanted = lanes.to_vec();
        wanted.sort_unstable();
        assert_eq!(hits.keys().copied().collect::<Vec<_>>(), wanted);
        assert!(hits.values().all(|&n| n == 3), "each lane gets its share: {hits:?}");
    }

    #[test]
    fn every_lane_in_service_gets_the_same_share_and_no_other_gets_any() {
        for count in [1, 2, 3, 4, 7, 64, 255, 256, 257, 1000, 1362] {
            assert_even(&(0..count).collect::<Vec<_>>());
            assert_even(&(0..count).map(|i| i * 2 + 1).collect::<Vec<_>>());
            assert_even(&(0..count).map(|i| i + i / 3).collect::<Vec<_>>());
            assert_even(&(0..count).rev().map(|i| i + 5).collect::<Vec<_>>());
        }
    }

    #[test]
    fn any_random_word_hits_a_lane_in_service() {
        let program = program(&[2, 3, 9]).expect("a program");
        for random in [0, 1, 2, 3, u32::MAX, u32::MAX - 1, u32::MAX - 2, 1 << 31] {
            assert!([2, 3, 9].contains(&interpret(&program, random, &[])));
        }
    }

    #[test]
    fn neighbours_cost_three_instructions_in_all() {
        assert_eq!(program(&(0..1000).collect::<Vec<_>>()).expect("a program").len(), 4);
    }

    #[test]
    fn nothing_to_name_and_too_much_to_name_give_no_program() {
        assert_eq!(program(&[]), None);
        let torn = |count: u32| (0..count).map(|i| i * 2).collect::<Vec<_>>();
        assert!(program(&torn(1362)).is_some());
        assert_eq!(program(&torn(1366)), None);
    }

    #[test]
    fn one_source_port_goes_to_its_lane_and_the_others_as_ever() {
        let program = program_with(&[0, 1], &[(4711, 7), (4712, 1)]).expect("a program");
        assert_loadable(&program);
        let packet = |port: u16| {
            let mut packet = vec![0u8; 64];
            packet[0] = 0x45;
            packet[20..22].copy_from_slice(&port.to_be_bytes());
            packet
        };
        assert_eq!(interpret(&program, 0, &packet(4711)), 7);
        assert_eq!(interpret(&program, 0, &packet(4712)), 1);
        assert_eq!((0..2).map(|random| interpret(&program, random, &packet(80))).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(program_with(&[2], &[]), super::program(&[2]));
    }

    #[test]
    fn a_lane_named_twice_counts_once() {
        assert_eq!(program(&[1, 1, 0]), program(&[0, 1]));
    }

    #[test]
    fn a_source_port_is_seen_under_either_protocol_and_any_header_length() {
        let program = program_with(&[4], &[(40002, 6)]).expect("a program");
        assert_loadable(&program);
        for (port, wanted) in [(40002_u16, 6), (40003, 4), (0, 4)] {
            for words in 5..=15u8 {
                let mut packet = vec![0u8; 64];
                packet[0] = 0x40 | words;
                packet[usize::from(words) * 4..][..2].copy_from_slice(&port.to_be_bytes());
                assert_eq!(interpret(&program, 0, &packet), wanted, "IPv4, header of {words} words");
            }
            let mut packet = vec![0u8; 44];
            packet[0] = 0x60;
            packet[40..42].copy_from_slice(&port.to_be_bytes());
            assert_eq!(interpret(&program, 0, &packet), wanted, "IPv6");
        }
    }
}
