//! Replies in bytes, split in any way, with bodies of any limit: how a reply is split changes nothing of it, a second reader,
//! which knows all bytes beforehand, takes the same from it, and nothing of one reply gets into the next.
//!
//! The first line of an input is `LIMIT SIZE SIZE…`: how long a body may be, and how many bytes each read gives, again and
//! again (without a size: all). The rest is what comes.

use std::io::{self, Read};

use super::{head, is_fit_to_show, reading};
use crate::consul::transport::from_bytes::{NoReply, Replies, TakenReply};

pub(super) fn property(data: &[u8]) {
    let (first, data) = head(data);
    let first = String::from_utf8_lossy(first);
    let mut numbers = first
        .split(' ')
        .map(|word| usize::from(word.parse::<u16>().unwrap_or(64)));
    let limit = numbers.next().unwrap_or_default();
    let sizes: Vec<usize> = numbers.collect();

    let mut source = Parts::new(data, &[]);
    let whole = Replies::default().next(&mut source, limit);
    match &whole {
        Ok(reply) => is_the_reply(reply, &data[..source.at], limit),
        Err(NoReply::TooLarge) => {}
        Err(NoReply::Broken(why)) => assert!(is_fit_to_show(why) && why.len() < 200, "{why}"),
    }
    let mut replies = Replies::default();
    let mut source = Parts::new(data, &sizes);
    let split = replies.next(&mut source, limit);
    is_the_same(&whole, &split);
    assert!(replies.memory() <= 16 << 10, "a head has an end");
    let Ok(reply) = split else { return };
    assert!(replies.memory() <= 4 << 10, "only that much is kept");
    if reply.keeps {
        // The second request is sent now, so all that has not come yet is its reply.
        let rest = &data[source.at..];
        let second = replies.next(&mut source, limit);
        is_the_same(&alone(rest, limit), &second);
    }
    // A connection that is closed leaves nothing to the next one.
    let again = replies.next(&mut Parts::new(data, &sizes), limit);
    is_the_same(&whole, &again);
}

/// A reply that the library takes out of these bytes is the one that they say, and nothing of what it has taken besides is
/// lost.
fn is_the_reply(reply: &TakenReply, data: &[u8], limit: usize) {
    let read = reading::of(data);
    assert!(reply.body.len() <= limit);
    assert_eq!((reply.status, &reply.body), (read.status, &read.body));
    assert!(reply.index.is_none() || !read.all("x-consul-index").is_empty());
    if reply.keeps {
        assert!(read.rest.is_empty() && read.has_end && read.may_keep());
    }
}

fn alone(data: &[u8], limit: usize) -> Result<TakenReply, NoReply> {
    Replies::default().next(&mut Parts::new(data, &[]), limit)
}

/// Where the bytes end sooner, the reader may see another fault first.
fn is_the_same(whole: &Result<TakenReply, NoReply>, split: &Result<TakenReply, NoReply>) {
    match (whole, split) {
        (Ok(whole), Ok(split)) => {
            // What has not come yet cannot say that the connection is out of step.
            assert!(split.keeps || !whole.keeps, "{whole:?}, {split:?}");
            let keeps = whole.keeps;
            let split = TakenReply {
                status: split.status,
                index: split.index,
                body: split.body.clone(),
                date: split.date.clone(),
                keeps,
            };
            assert_eq!(*whole, split);
        }
        (Err(NoReply::Broken(_)), Err(NoReply::Broken(_)))
        | (Err(NoReply::TooLarge), Err(NoReply::TooLarge)) => {}
        _ => panic!("{whole:?}, {split:?}"),
    }
}

/// Bytes that come in parts.
struct Parts<'a> {
    data: &'a [u8],
    sizes: &'a [usize],
    at: usize,
    reads: usize,
}

impl Parts<'_> {
    fn new<'a>(data: &'a [u8], sizes: &'a [usize]) -> Parts<'a> {
        Parts {
            data,
            sizes,
            at: 0,
            reads: 0,
        }
    }
}

impl Read for Parts<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        assert!(!into.is_empty(), "a read without room looks like the end");
        let size = match self.sizes {
            [] => usize::MAX,
            sizes => sizes[self.reads % sizes.len()].max(1),
        };
        let rest = &self.data[self.at..];
        let count = size.min(rest.len()).min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        self.reads += 1;
        Ok(count)
    }
}
