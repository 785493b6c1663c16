//! A part of a world that the clones of the world share, until one of them changes the part.
//!
//! The explorer clones a world for each step, and a step changes few parts. A part keeps its sketch for the picture
//! ([`super::picture`]) as long as nothing changes the part.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use super::pen::Sketch;

#[derive(Clone, Default)]
pub(in crate::sim) struct Shared<T> {
    part: Arc<T>,
    sketch: OnceLock<Arc<Sketch>>,
}

impl<T> Shared<T> {
    pub(super) fn new(part: T) -> Shared<T> {
        Shared {
            part: Arc::new(part),
            sketch: OnceLock::new(),
        }
    }

    /// The sketch of the part as the part is now. Two calls without a change between them must ask for the same sketch.
    pub(super) fn sketch(&self, draw: impl FnOnce(&T) -> Sketch) -> &Sketch {
        self.sketch.get_or_init(|| Arc::new(draw(&self.part)))
    }

    pub(super) fn forget_sketch(&mut self) {
        self.sketch = OnceLock::new();
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.part
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.forget_sketch();
        Arc::make_mut(&mut self.part)
    }
}
