use super::ChannelView;
use crate::{Channel, ChannelId};

/// A channel with its view, by its id.
type Seen = (ChannelId, (Channel, ChannelView));

/// An account's channels, each with its view, in the order of their ids.
///
/// They lie side by side and without room for more: nearly every account has one channel, there is an account for every
/// listener, and the first node of a tree would take the room of eleven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelViews(Vec<Seen>);

impl ChannelViews {
    /// A channel and its view, if it was looked at.
    #[must_use]
    pub fn get(&self, channel_id: ChannelId) -> Option<&(Channel, ChannelView)> {
        let place = self.place(channel_id).ok()?;
        self.0.get(place).map(|(_, seen)| seen)
    }

    /// Whether a channel was looked at.
    #[must_use]
    pub fn contains(&self, channel_id: ChannelId) -> bool {
        self.place(channel_id).is_ok()
    }

    /// Notes what a look has shown of a channel, in the place of what an earlier one has.
    pub fn insert(&mut self, channel_id: ChannelId, seen: (Channel, ChannelView)) {
        *self.get_or_insert(channel_id, seen) = seen;
    }

    /// What is known of a channel; if nothing is, from now on this.
    pub fn get_or_insert(
        &mut self,
        channel_id: ChannelId,
        seen: (Channel, ChannelView),
    ) -> &mut (Channel, ChannelView) {
        let place = self.place(channel_id).unwrap_or_else(|place| {
            if self.0.is_empty() {
                // A list that grows by itself begins with room for four.
                self.0.reserve_exact(1);
            }
            self.0.insert(place, (channel_id, seen));
            place
        });
        &mut self.0[place].1
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (ChannelId, &(Channel, ChannelView))> {
        self.0.iter().map(|(channel_id, seen)| (*channel_id, seen))
    }

    /// All views, to change.
    pub fn views_mut(&mut self) -> impl Iterator<Item = &mut ChannelView> {
        self.0.iter_mut().map(|(_, (_, view))| view)
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn place(&self, channel_id: ChannelId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&channel_id, |(channel_id, _)| *channel_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposure::ChannelFunds;
    use crate::{Amount, B256};
    use alloy_primitives::Address;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn seen(reserved: u128) -> (Channel, ChannelView) {
        let address = Address::ZERO;
        let channel =
            Channel { payer: address, payee: address, token: address, salt: B256::ZERO, authorized_signer: address };
        let head = ChannelFunds { reserved: Amount::new(reserved), ..ChannelFunds::default() };
        (channel, ChannelView { head, ..ChannelView::default() })
    }

    fn id(byte: u8) -> ChannelId {
        ChannelId(B256::repeat_byte(byte))
    }

    #[test]
    fn one_channel_takes_the_room_of_one() {
        let mut views = ChannelViews::default();
        views.insert(id(1), seen(1));
        assert_eq!(views.0.capacity(), 1);
    }

    proptest! {
        #[test]
        fn every_channel_is_known_once_and_by_its_last_view(notes in prop::collection::vec((0_u8..8, any::<u128>(), any::<bool>()), 0..40)) {
            let (mut views, mut model) = (ChannelViews::default(), BTreeMap::new());
            for (byte, reserved, replaces) in notes {
                if replaces {
                    views.insert(id(byte), seen(reserved));
                    model.insert(id(byte), seen(reserved));
                } else {
                    let known = *views.get_or_insert(id(byte), seen(reserved));
                    prop_assert_eq!(known, *model.entry(id(byte)).or_insert(seen(reserved)));
                }
                prop_assert_eq!(views.len(), model.len());
                prop_assert!(views.iter().eq(model.iter().map(|(id, seen)| (*id, seen))));
                for byte in 0..8 {
                    prop_assert_eq!(views.get(id(byte)), model.get(&id(byte)));
                    prop_assert_eq!(views.contains(id(byte)), model.contains_key(&id(byte)));
                }
            }
        }
    }
}
