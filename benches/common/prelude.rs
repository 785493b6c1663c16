//! What nearly every part of a bench begins with: `use crate::common::prelude::*`.
#![allow(unused_imports)] // each bench uses a part of it

pub(crate) use super::contest::{self, HOLD_MS, Handoffs, Record};
pub(crate) use super::measures::{self, Cycles};
pub(crate) use super::program::{Crowd, Program, Said};
pub(crate) use super::report::{self, Cell, Report, Table};
pub(crate) use super::servers::Servers;
pub(crate) use super::{clock, median, ms_between, percentile};
pub(crate) use crate::support::{self, prelude::*};
