//! What a person should be told of our sockets: said where it is seen, taken at one place.

use std::cell::RefCell;
use std::rc::Rc;

/// The warnings of all sockets; each copy has the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Warnings(Rc<RefCell<Vec<String>>>);

impl Warnings {
    pub(super) fn push(&self, warning: String) {
        self.0.borrow_mut().push(warning);
    }

    pub(super) fn take(&self) -> Vec<String> {
        self.0.take()
    }
}
