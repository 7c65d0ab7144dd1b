//! MD5 (RFC 1321), for the digests of parameters in operation history. No security rests on it.

/// The digest of a text, in hexadecimal.
pub(crate) fn hex(text: &str) -> String {
    let mut state: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    let mut data = text.as_bytes().to_vec();
    let bits = (data.len() as u64).wrapping_mul(8);
    data.push(0x80);
    while data.len() % 64 != 56 {
        data.push(0);
    }
    data.extend_from_slice(&bits.to_le_bytes());
    for block in data.chunks_exact(64) {
        round(&mut state, block);
    }
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(32);
    for b in state.iter().flat_map(|w| w.to_le_bytes()) {
        out.push(char::from(DIGITS[usize::from(b >> 4)]));
        out.push(char::from(DIGITS[usize::from(b & 15)]));
    }
    out
}

const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// RFC 1321 §3.4: the 64 constants are the integer parts of 2³² · |sin i|.
const SINES: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

fn round(state: &mut [u32; 4], block: &[u8]) {
    let mut m = [0_u32; 16];
    for (word, bytes) in m.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.iter().rev().fold(0, |w, b| (w << 8) | u32::from(*b));
    }
    let mut s = *state;
    for (i, word) in m.iter().enumerate() {
        step(&mut s, |b, c, d| (b & c) | (!b & d), i, *word);
    }
    for i in 16..32 {
        step(&mut s, |b, c, d| (d & b) | (!d & c), i, m[(5 * i + 1) % 16]);
    }
    for i in 32..48 {
        step(&mut s, |b, c, d| b ^ c ^ d, i, m[(3 * i + 5) % 16]);
    }
    for i in 48..64 {
        step(&mut s, |b, c, d| c ^ (b | !d), i, m[(7 * i) % 16]);
    }
    for (s, v) in state.iter_mut().zip(s) {
        *s = s.wrapping_add(v);
    }
}

/// RFC 1321 §3.4: step `i` of the 64.
#[inline]
fn step([a, b, c, d]: &mut [u32; 4], mix: impl Fn(u32, u32, u32) -> u32, i: usize, word: u32) {
    let sum = a.wrapping_add(mix(*b, *c, *d)).wrapping_add(SINES[i]).wrapping_add(word);
    let turned = sum.rotate_left(SHIFTS[i / 16][i % 4]);
    (*a, *d, *c, *b) = (*d, *c, *b, b.wrapping_add(turned));
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_digests_of_the_rfc_come_out() {
        assert_eq!(super::hex(""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(super::hex("message digest"), "f96b697d7cb7938d525a2f31aaf161d0");
        assert_eq!(super::hex(" <parameters/>\n"), "f2317cad3d54cec5d7d7aa7d0bf35cf8");
    }
}
