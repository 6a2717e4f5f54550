//! Options of IP packets: which ones the system accepts in a packet to a group (RFC 791, 8200).

/// Options of IPv4: the end of the options, no operation, and source routes, which a packet to a group cannot have.
const END: u8 = 0;
const NOTHING: u8 = 1;
const ROUTES: [u8; 2] = [131, 137];

/// Padding of IPv6, of one byte and of many.
const ONE_BYTE: u8 = 0;
const MANY_BYTES: u8 = 1;
/// The most bytes of padding in a row: more than aligns anything (RFC 4942, section 2.1.9.5).
const MAX_PADDING: usize = 7;
/// The most options in a header, without padding (`net.ipv6.max_dst_opts_number`).
const MAX_OPTIONS: usize = 8;

/// Whether the options of an IPv4 header have their right lengths, and no route.
pub(super) fn are_options_right(mut options: &[u8]) -> bool {
    while let Some((&kind, behind)) = options.split_first() {
        let length = match (kind, behind.first()) {
            (END, _) => return true,
            (NOTHING, _) => 1,
            (_, Some(&length)) if length >= 2 && !ROUTES.contains(&kind) => length.into(),
            _ => return false,
        };
        let Some(rest) = options.get(length..) else { return false };
        options = rest;
    }
    true
}

/// Read an IPv6 header of options. Returns the kind of the next header and all that follows, or `None` if a receiver
/// that does not know an option must discard the packet.
pub(super) fn behind_options(body: &[u8]) -> Option<(u8, &[u8])> {
    let head: &[u8; 2] = body.first_chunk()?;
    let (header, rest) = body.split_at_checked((usize::from(head[1]) + 1) * 8)?;
    let (mut options, mut padding, mut count) = (&header[2..], 0, 0);
    while let Some((&kind, behind)) = options.split_first() {
        let length = if kind == ONE_BYTE { 1 } else { usize::from(*behind.first()?) + 2 };
        let (option, next) = options.split_at_checked(length)?;
        if [ONE_BYTE, MANY_BYTES].contains(&kind) {
            padding += length;
            let has_content = option.iter().skip(2).any(|&byte| byte != 0);
            if padding > MAX_PADDING || has_content {
                return None;
            }
        } else {
            (padding, count) = (0, count + 1);
            // The first two bits say what to do with an unknown option.
            if kind >> 6 != 0 || count > MAX_OPTIONS {
                return None;
            }
        }
        options = next;
    }
    Some((head[0], rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_v4_with_wrong_lengths_or_routes_are_refused() {
        for (options, right) in [
            (&[1, 1, 1, 0][..], true),
            (&[0, 0xee, 0xee, 0xee], true),
            (&[148, 4, 0, 0], true),
            (&[1, 148, 4, 0], false),
            (&[148, 1, 0, 0], false),
            (&[1, 1, 1, 148], false),
            (&[131, 3, 4, 0], false),
            (&[137, 3, 4, 0], false),
        ] {
            assert_eq!(are_options_right(options), right, "{options:?}");
        }
    }

    #[test]
    fn options_v6_are_skipped_if_they_allow_it() {
        let skipped = |bytes: &[u8]| behind_options(bytes).map(|(kind, rest)| (kind, rest.to_vec()));
        assert_eq!(skipped(&[17, 0, 1, 4, 0, 0, 0, 0, 7, 8]), Some((17, vec![7, 8])));
        assert_eq!(skipped(&[17, 0, 5, 2, 0, 0, 0, 0]), Some((17, vec![])));
        for wrong in [
            // Padding with content, too much padding, an option that must not be skipped, one that is too long, a short
            // header.
            &[17, 0, 1, 4, 0, 0, 1, 0][..],
            &[17, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[17, 0, 0x45, 2, 0, 0, 0, 0],
            &[17, 0, 5, 5, 0, 0, 0, 0],
            &[17, 1, 1, 4, 0, 0, 0, 0],
            &[17],
        ] {
            assert_eq!(skipped(wrong), None, "{wrong:?}");
        }
    }
}
