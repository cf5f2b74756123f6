use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::super::tests::interpreter::{assert_loadable, interpret};
use super::*;

/// The header of a packet of this client, with its port behind it.
fn packet(client: IpAddr, port: u16) -> Vec<u8> {
    let mut packet = vec![0u8; 64];
    let after = match client {
        IpAddr::V4(address) => {
            packet[0] = 0x45;
            packet[12..16].copy_from_slice(&address.octets());
            20
        }
        IpAddr::V6(address) => {
            packet[0] = 0x60;
            packet[8..24].copy_from_slice(&address.octets());
            40
        }
    };
    packet[after..after + 2].copy_from_slice(&port.to_be_bytes());
    packet
}

fn clients() -> impl Iterator<Item = IpAddr> {
    let v4 = (0..2000).map(|n| IpAddr::V4(Ipv4Addr::from_bits(0x7f00_0001 + n * 3)));
    let v6 = (0..2000).map(|n| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) + (n << 64) + 0x21b_77ff_fe00 + n)));
    v4.chain(v6)
}

fn homes(slots: &[u32]) -> Vec<u32> {
    clients().map(|client| slot_of(client, slots.iter().copied()).expect("a slot")).collect()
}

#[test]
fn nothing_to_name_and_too_much_to_name_give_no_program() {
    assert_eq!((program(&[], &[]), slot_of(Ipv4Addr::LOCALHOST.into(), [])), (None, None));
    let seats = |count: u32| (0..count).map(|slot| (slot, slot)).collect::<Vec<_>>();
    let longest = program(&seats(MOST_SLOTS), &[]).expect("a program");
    assert_loadable(&longest);
    // As the kernel translates it: no more than one instruction more for each jump, 8 bytes each, and its own header.
    assert!(longest.len() * 8 < 15_000, "{} instructions", longest.len());
    assert_eq!(program(&seats(700), &[]), None);
}

#[test]
fn clients_are_spread_evenly() {
    for count in [2u32, 3, 4, 6, 16] {
        let mut shares = BTreeMap::new();
        homes(&(0..count).collect::<Vec<_>>()).into_iter().for_each(|slot| *shares.entry(slot).or_insert(0u32) += 1);
        let even = 4000 / count;
        assert!(shares.values().all(|n| n.abs_diff(even) < even / 5 + 20), "{count} slots: {shares:?}");
        assert_eq!(shares.len() as u32, count);
    }
}

#[test]
fn a_slot_that_goes_moves_its_own_clients_alone_and_to_all_others() {
    let before = homes(&[0, 1, 2, 3, 4]);
    let after = homes(&[0, 1, 3, 4]);
    let mut gained = BTreeMap::new();
    for (old, new) in before.into_iter().zip(after) {
        assert!(old == new || old == 2, "a client of slot {old} moved");
        if old == 2 {
            *gained.entry(new).or_insert(0u32) += 1;
        }
    }
    assert!(gained.len() == 4 && gained.values().all(|n| *n > 100), "{gained:?}");
}

#[test]
fn an_ipv4_client_of_a_dual_stack_socket_is_one_client() {
    for n in 0..200 {
        let v4 = Ipv4Addr::new(10, 1, 2, n);
        assert_eq!(slot_of(v4.into(), 0..8), slot_of(v4.to_ipv6_mapped().into(), 0..8));
    }
}

fn any_client() -> impl Strategy<Value = IpAddr> {
    prop_oneof![any::<Ipv4Addr>().prop_map(IpAddr::V4), any::<Ipv6Addr>().prop_map(IpAddr::V6)]
}

proptest! {
    /// The kernel's program and the function in Rust agree, whatever the lanes; a source port named beforehand is first.
    #[test]
    fn the_program_does_as_the_function_says(
        clients in prop::collection::vec(any_client(), 50),
        slots in prop::collection::btree_set(0u32..1024, 1..40),
        port in 1u16..,
    ) {
        let seats: Vec<(u32, u32)> = slots.iter().map(|slot| (*slot, slot ^ 0x5a5)).collect();
        for sources in [vec![], vec![(port, 7777)]] {
            let program = program(&seats, &sources).expect("a program");
            assert_loadable(&program);
            for client in &clients {
                // No IPv4-mapped address is seen in a packet of IPv6.
                let client = client.to_canonical();
                let home = slot_of(client, slots.iter().copied()).expect("a slot") ^ 0x5a5;
                let wanted = if sources.is_empty() { home } else { 7777 };
                prop_assert_eq!(interpret(&program, 0, &packet(client, port)), wanted);
                prop_assert_eq!(interpret(&program, 1, &packet(client, port ^ 1)), home);
            }
        }
    }
}
