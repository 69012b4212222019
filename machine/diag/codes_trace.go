package diag

// traceEntries documents the codes of traces.
var traceEntries = []Entry{
	{
		Code: "SC701", Title: "header of a trace",
		Explanation: "The first line of a trace says which protocol it has and holds the manifest.",
	},
	{
		Code: "SC702", Title: "line of a trace",
		Explanation: "Each line of a trace is a record, a gap, a snapshot or a manifest, in JSON.",
	},
	{
		Code: "SC703", Title: "line too long",
		Explanation: "A line of a trace has at most 4 MiB, which is above any record.",
	},
	{
		Code: "SC704", Title: "trace ends early",
		Explanation: "The file could not be read to its end.",
	},
	{
		Code: "SC705", Title: "order of records",
		Explanation: "A record is missing, doubled or out of order, and no gap says so.",
	},
	{
		Code: "SC706", Title: "changed record",
		Explanation: "The digest of a record is not what the next one says it was: the record was changed after it " +
			"was written.",
	},
	{
		Code: "SC707", Title: "manifest of a trace",
		Explanation: "A manifest inside of the trace does not load with this release.",
	},
	{
		Code: "SC708", Title: "other decision",
		Explanation: "The manifest decides otherwise than the record says. Either the trace belongs to another " +
			"manifest, or a release decides differently, which is a defect to report.",
	},
}
