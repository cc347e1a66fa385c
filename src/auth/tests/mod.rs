mod apps;
mod capability;
