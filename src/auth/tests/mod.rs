mod capability;
