//! What the kernel does with a steering program, for the tests.

use super::super::*;

/// Runs a program: `random` is the drawn word, `packet` starts at the network header.
pub(in super::super) fn interpret(program: &[Instruction], random: u32, packet: &[u8]) -> u32 {
    let (mut a, mut x, mut at, mut kept) = (0u32, 0u32, 0usize, [0u32; 16]);
    let byte = |k: u32| u32::from(packet[(k.wrapping_sub(NETWORK_HEADER)) as usize]);
    let half = |k: u32| byte(k) << 8 | byte(k + 1);
    loop {
        let one = program[at];
        at += 1;
        match one.code {
            LOAD_WORD if one.k == RANDOM => a = random,
            LOAD_WORD => a = half(one.k) << 16 | half(one.k + 2),
            LOAD_BYTE => a = byte(one.k),
            LOAD_HALF => a = half(one.k),
            LOAD_HALF_AT_X => a = half(one.k + x),
            LOAD_HEADER_LENGTH => x = 4 * (byte(one.k) & 15),
            LOAD_KEPT => a = kept[one.k as usize],
            LOAD_NUMBER => a = one.k,
            KEEP => kept[one.k as usize] = a,
            ADD => a = a.wrapping_add(one.k),
            ADD_X => a = a.wrapping_add(x),
            MULTIPLY => a = a.wrapping_mul(one.k),
            XOR_X => a ^= x,
            TO_X => x = a,
            SHIFT_RIGHT => a >>= one.k,
            MODULO => a %= one.k,
            SKIP => at += one.k as usize,
            IF_EQUAL => at += usize::from(if a == one.k { one.jt } else { one.jf }),
            IF_AT_LEAST => at += usize::from(if a >= one.k { one.jt } else { one.jf }),
            IF_ABOVE_X => at += usize::from(if a > x { one.jt } else { one.jf }),
            RETURN => return one.k,
            RETURN_SUM => return a,
            other => panic!("not an instruction that the program may use: {other:#x}"),
        }
    }
}

/// The kernel's own check: the last instruction returns, no jump leaves the program, the length is in bounds.
pub(in super::super) fn assert_loadable(program: &[Instruction]) {
    assert!(program.len() <= MOST_INSTRUCTIONS);
    assert_eq!(program.last().expect("not empty").code, RETURN_SUM);
    for (at, one) in program.iter().enumerate() {
        let reach = match one.code {
            SKIP => one.k as usize,
            IF_EQUAL | IF_AT_LEAST | IF_ABOVE_X => usize::from(one.jt.max(one.jf)),
            _ => continue,
        };
        assert!(at + 1 + reach < program.len(), "instruction {at} jumps out of the program");
    }
}
