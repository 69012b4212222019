package diag

// scenarioEntries documents the codes of scenario files.
var scenarioEntries = []Entry{}
