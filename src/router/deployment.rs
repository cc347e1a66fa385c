//! What the deployment says at this moment: its own apps, and whether it lets clients in.

use std::rc::Rc;

use crate::auth::Apps;
use crate::error::{Code, ErrorInfo};
use crate::rpc::Answer;

pub struct Deployment {
    /// Its own apps, or why nobody is served.
    pub apps: Answer<Rc<Apps>>,
    /// Whether others can be made at run time.
    pub makes_apps: bool,
    /// Nothing begins any more.
    pub is_stopping: bool,
    pub room: Room,
    /// For how many objects there are descriptors, which requests may make.
    pub objects: usize,
}

/// Who may still be held, where a server has only so many descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    ForAll,
    /// Who resumes has a place that is free at once.
    ForThoseWhoResume,
    ForNobody,
}

impl Room {
    /// As a server's supervisor says it by `FULL`.
    pub fn read(text: &str) -> Room {
        match text {
            "true" => Room::ForNobody,
            "to newcomers" => Room::ForThoseWhoResume,
            _ => Room::ForAll,
        }
    }
}

impl Deployment {
    /// Its own apps. Fails with 50320 where it has none and nobody can make any, or they can't be read.
    pub fn apps(&self) -> Result<&Rc<Apps>, ErrorInfo> {
        self.apps.as_ref().map_err(ErrorInfo::clone)
    }

    /// The same, for what begins. Fails with 50320 also while the server is about to stop.
    pub fn serving(&self) -> Result<&Rc<Apps>, ErrorInfo> {
        match self.is_stopping {
            true => Err(Code::Unavailable.because("the server is about to stop; try again")),
            false => self.apps(),
        }
    }

    /// Whether one more connection can be held. Fails with 50320 when there is no room.
    pub fn has_room(&self, resumes: bool) -> Result<(), ErrorInfo> {
        match self.room {
            Room::ForAll => Ok(()),
            Room::ForThoseWhoResume if resumes => Ok(()),
            _ => Err(Code::Unavailable.because("the server holds as many connections as it can; try again")),
        }
    }
}
