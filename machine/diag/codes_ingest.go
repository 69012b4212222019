package diag

// ingestEntries documents the codes of the watcher ingest.
var ingestEntries = []Entry{{
	Code: "SC465", Title: "subject or queue of an ingest watcher",
	Explanation: "What is listened to is words that a dot separates, of which * is any one and > at the end any rest. A queue's name is one word.",
	Bad: `format: 1
name: tools
version: 1.0.0
initial_state: taking
transitions:
  - {name: done, from: [taking], destination: taking}
watchers:
  - name: tools
    type: ingest
    success_transition: done
    properties: {subject: node..inventory, to: '"discovery." + message.tokens[1]', sender: 'message.tokens[1]'}
`,
	Good: `format: 1
name: tools
version: 1.0.0
initial_state: taking
transitions:
  - {name: done, from: [taking], destination: taking}
watchers:
  - name: tools
    type: ingest
    success_transition: done
    properties: {subject: node.*.inventory, to: '"discovery." + message.tokens[1]', sender: 'message.tokens[1]'}
`,
}}
