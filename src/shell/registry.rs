//! Where the state of an isolate's objects lives: by their ids, and not in their structs. Those are freed when
//! JavaScript collects its garbage, perhaps long after: an object that is built again drops its predecessor's state at
//! once.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::thread::LocalKey;

use crate::base::maps::HashMap;

pub type Registry<T> = RefCell<HashMap<String, Rc<RefCell<T>>>>;

/// What an object's struct holds: its place in the registry, which ends with it unless it was built again since.
pub struct Registration<T: 'static> {
    registry: &'static LocalKey<Registry<T>>,
    id: String,
    own: Weak<RefCell<T>>,
}

impl<T> Registration<T> {
    /// Puts an object's new state in the place of its predecessor's.
    pub fn new(registry: &'static LocalKey<Registry<T>>, id: String, object: T) -> Registration<T> {
        let object = Rc::new(RefCell::new(object));
        let own = Rc::downgrade(&object);
        registry.with_borrow_mut(|registry| registry.insert(id.clone(), object));
        Registration { registry, id, own }
    }

    /// Its own state, for every frame; or its successor's, for what comes late.
    pub fn find(&self) -> Rc<RefCell<T>> {
        let successor = || self.registry.with_borrow(|registry| registry.get(&self.id).cloned());
        self.own.upgrade().or_else(successor).expect("objects register when they are built")
    }
}

impl<T> Drop for Registration<T> {
    fn drop(&mut self) {
        let ended = self.registry.with_borrow_mut(|registry| {
            let is_own = registry.get(&self.id).is_some_and(|object| Rc::downgrade(object).ptr_eq(&self.own));
            is_own.then(|| registry.remove(&self.id))
        });
        // What it holds ends when the registry is not borrowed any more.
        drop(ended);
    }
}
