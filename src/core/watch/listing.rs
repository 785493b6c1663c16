//! One query for all keys of a folder that have none of their own: a blocking listing of its names.

use std::collections::HashSet;
use std::time::Duration;

use super::pace::Pace;
use super::{LONGEST_QUERY, Observation, WATCH_SLACK, Watches};
use crate::clock::Time;
use crate::core::alarms::Owner;
use crate::core::interface::{Level, RequestId};
use crate::core::log::Often;
use crate::core::messages::{Answer, Fault, Key, Request};
use crate::core::outbox::Outbox;

/// The pause between two listings of a folder. A loss shows 20 ms later, and the traffic is a fifth (measured).
const LISTING_PAUSE: Duration = Duration::from_millis(20);

/// The listing of one folder.
#[cfg_attr(test, derive(Clone))]
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// How many keys of the crowd are in the folder.
    pub(super) crowd: usize,
    pub(super) request: Option<RequestId>,
    /// The index of the last answer.
    pub(super) index: u64,
    pub(super) names: HashSet<String>,
    /// When to list again.
    pub(super) again: Option<Time>,
    pace: Pace,
    faults: u32,
}

impl Listing {
    /// The key is not there; of a folder that had `full` names, there are fewer.
    pub(super) fn is_missing(&self, key: &str, full: usize) -> bool {
        match full {
            0 => !self.names.contains(key),
            _ => {
                self.names
                    .iter()
                    .filter(|name| name.starts_with(key))
                    .count()
                    < full
            }
        }
    }
}

impl Watches {
    /// Gives the folders of the crowd a listing, the fullest first, and ends the listings that are not needed any
    /// more. The library does not abort a query on its way (see [`super`]), which counts until its answer comes.
    pub(super) fn arrange_listings(&mut self, out: &mut Outbox) {
        let most = self.budget(out).listings;
        let listings = &mut self.listings;
        listings.retain(|_, listing| listing.crowd > 0 || listing.request.is_some());
        let is_running = |l: &&Listing| l.request.is_some() || l.again.is_some();
        let mut running = listings.values().filter(is_running).count();
        while running < most {
            let waiting = self.listings.iter();
            let fullest = waiting
                .filter(|(_, l)| l.request.is_none() && l.again.is_none())
                .max_by_key(|(_, l)| l.crowd)
                .map(|(folder, _)| folder.clone());
            let Some(folder) = fullest else { break };
            self.list(out, folder);
            running += 1;
        }
    }

    pub(super) fn list(&mut self, out: &mut Outbox, folder: Key) {
        let Some(listing) = self.listings.get_mut(&folder) else {
            return;
        };
        listing.again = None;
        let wait = LONGEST_QUERY;
        let request = Request::WatchNames {
            folder: folder.clone(),
            index: listing.index,
            wait,
        };
        let by = out.time() + wait + wait / 16 + WATCH_SLACK;
        let request = out.send_long(Owner::Watch, request, by);
        if let Some(listing) = self.listings.get_mut(&folder) {
            listing.request = Some(request);
        }
    }

    pub(super) fn listed(&mut self, out: &mut Outbox, folder: &Key, answer: Result<Answer, Fault>) {
        let now = out.time();
        let Some(listing) = self.listings.get_mut(folder) else {
            return;
        };
        listing.request = None;
        match answer {
            Ok(Answer::Names { names, index }) => {
                listing.faults = 0;
                // After a restored snapshot an index means nothing any more.
                listing.index = if index < listing.index { 0 } else { index };
                listing.names = names.into_iter().collect();
                listing.again = Some(listing.pace.next(now).max(now + LISTING_PAUSE));
                let is_of_use = self.find_missing(folder);
                if let Some(listing) = self.listings.get_mut(folder)
                    && is_of_use
                {
                    // The locks that got an observation keep a pace of their own.
                    listing.pace.forgive();
                    listing.again = Some(now + LISTING_PAUSE);
                }
            }
            // A listing that is too large now is too large a moment later, too.
            Err(Fault::Final(error) | Fault::TooLarge(error)) => {
                self.listings.remove(folder);
                self.unlisted.insert(folder.clone());
                out.log(Level::Warn, Often::OncePerKey("no listing", folder), || {
                    format!(
                        "more keys wait in \"{folder}\" than there are connections for, and they \
                         cannot be listed ({error}): they take turns, and may be noticed late"
                    )
                });
            }
            Err(_) | Ok(_) => {
                listing.faults += 1;
                let faults = listing.faults;
                let at = now + out.back_off(faults);
                if let Some(listing) = self.listings.get_mut(folder) {
                    listing.again = Some(at);
                }
            }
        }
    }

    /// Gives [`Observation::Gone`] to the keys of the crowd that are not in the listing. Answers whether there
    /// are any.
    fn find_missing(&mut self, folder: &Key) -> bool {
        let Some(listing) = self.listings.get(folder) else {
            return false;
        };
        let gone = self.crowd.iter().map(|(_, _, key)| key).filter(|key| {
            let watch = self.keys.get(*key).filter(|watch| watch.folder == *folder);
            watch.is_some_and(|watch| listing.is_missing(key, watch.full))
        });
        let gone = gone.cloned().collect::<Vec<_>>();
        for key in &gone {
            self.found(key, &Observation::Gone);
        }
        !gone.is_empty()
    }
}
