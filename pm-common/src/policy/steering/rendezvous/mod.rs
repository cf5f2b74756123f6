//! Which slot the clients of one address go to: new connections of an address meet the same worker as long as there is
//! one in its slot.
//!
//! Each slot multiplies a hash of the address by a number of its own, and the largest product wins (rendezvous hashing).
//! So there is no table to be kept: a slot that goes away leaves its clients to all others and moves no one else's, and one
//! that is added takes an even share of each. It costs six instructions a slot, run for each new connection.

use std::net::IpAddr;

use super::{
    ADD_X, IF_ABOVE_X, IF_EQUAL, Instruction, KEEP, LOAD_BYTE, LOAD_KEPT, LOAD_NUMBER, LOAD_WORD, MOST_INSTRUCTIONS,
    MULTIPLY, NETWORK_HEADER, RETURN_SUM, SHIFT_RIGHT, SKIP, TO_X, XOR_X, before, plain,
};

/// The most slots: with more the program would be longer than an older kernel takes from an unprivileged process
/// (net.core.optmem_max was 20 KiB until Linux 6.7, and an instruction takes 8 bytes).
pub const MOST_SLOTS: u32 = 256;

/// Odd numbers with no pattern in their bits: those of MurmurHash3's last step (in the public domain).
const FIRST: u32 = 0x85eb_ca6b;
const SECOND: u32 = 0xc2b2_ae35;
/// The cells of the program's memory.
const HASH: u32 = 0;
const LANE: u32 = 1;
/// The instructions that fold an IPv6 address: one for the first word, four for each other.
const V6_LENGTH: u32 = 13;
/// Where the client's address is in the header.
const IPV4_SOURCE: u32 = NETWORK_HEADER + 12;
const IPV6_SOURCE: u32 = NETWORK_HEADER + 8;

/// The program that gives each new connection to the lane of its client's slot. `seats`: each slot once, with the index
/// of its lane in the group. `sources`: as in [`super::program_with`].
///
/// `None` for no seat, and for more than the kernel takes.
#[must_use]
pub fn program(seats: &[(u32, u32)], sources: &[(u16, u32)]) -> Option<Vec<Instruction>> {
    let (&(slot, lane), others) = seats.split_first()?;
    let mut out = hash();
    out.push(plain(KEEP, HASH));
    out.extend([plain(MULTIPLY, factor(slot)), plain(TO_X, 0), plain(LOAD_NUMBER, lane), plain(KEEP, LANE)]);
    for &(slot, lane) in others {
        out.extend([plain(LOAD_KEPT, HASH), plain(MULTIPLY, factor(slot))]);
        out.push(Instruction { code: IF_ABOVE_X, jt: 0, jf: 3, k: 0 });
        out.extend([plain(TO_X, 0), plain(LOAD_NUMBER, lane), plain(KEEP, LANE)]);
    }
    out.extend([plain(LOAD_KEPT, LANE), plain(RETURN_SUM, 0)]);
    before(sources, out).filter(|program| program.len() <= MOST_INSTRUCTIONS)
}

/// The slot of these that [`program`] sends a client to; an IPv4 address written as IPv6 is one of IPv4, as in the packet.
#[must_use]
pub fn slot_of(client: IpAddr, slots: impl IntoIterator<Item = u32>) -> Option<u32> {
    let hash = hash_of(client);
    // Of equal products the program keeps the first; no two factors are equal, and a hash of 0 is one in 2^32.
    slots.into_iter().reduce(|best, slot| {
        if hash.wrapping_mul(factor(slot)) > hash.wrapping_mul(factor(best)) { slot } else { best }
    })
}

/// Instructions that leave the hash of the client's address in the accumulator.
fn hash() -> Vec<Instruction> {
    let mut out = vec![
        plain(LOAD_BYTE, NETWORK_HEADER),
        plain(SHIFT_RIGHT, 4),
        Instruction { code: IF_EQUAL, jt: 2, jf: 0, k: 6 },
        plain(LOAD_WORD, IPV4_SOURCE),
        plain(SKIP, V6_LENGTH),
    ];
    out.push(plain(LOAD_WORD, IPV6_SOURCE));
    for word in 1..4 {
        out.extend([plain(MULTIPLY, FIRST), plain(TO_X, 0), plain(LOAD_WORD, IPV6_SOURCE + 4 * word), plain(ADD_X, 0)]);
    }
    for (shift, factor) in [(16, Some(FIRST)), (13, Some(SECOND)), (16, None)] {
        out.extend([plain(TO_X, 0), plain(SHIFT_RIGHT, shift), plain(XOR_X, 0)]);
        out.extend(factor.map(|factor| plain(MULTIPLY, factor)));
    }
    out
}

fn hash_of(client: IpAddr) -> u32 {
    let folded = match client.to_canonical() {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            let halves = address.segments().map(u32::from);
            let words = halves.chunks(2).map(|pair| pair.iter().fold(0, |word, half| word << 16 | half));
            words.fold(0, |sum: u32, word| sum.wrapping_mul(FIRST).wrapping_add(word))
        }
    };
    mixed(folded)
}

/// The last step of MurmurHash3: each bit of the word changes each other one as often as not.
const fn mixed(mut word: u32) -> u32 {
    word = (word ^ word >> 16).wrapping_mul(FIRST);
    word = (word ^ word >> 13).wrapping_mul(SECOND);
    word ^ word >> 16
}

/// The number of a slot, which stays the same in every process and for ever: odd, so that all products occur.
const fn factor(slot: u32) -> u32 {
    mixed(slot.wrapping_add(1).wrapping_mul(0x9e37_79b9)) | 1
}

#[cfg(test)]
mod tests;
