package diag

// inventoryEntries documents the codes of the watcher view.
var inventoryEntries = []Entry{
	{
		Code: "SC460", Title: "name of a view",
		Explanation: "The name of a view and its stream are letters, digits, _ and -.",
		Bad: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: view
    success_transition: done
    properties: {stream: DISCOVERY, name: the inventory}
`,
		Good: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: view
    success_transition: done
    properties: {stream: DISCOVERY, name: inventory}
`,
	},
	{
		Code: "SC461", Title: "subject or filter of a view",
		Explanation: "A view is asked by one subject, without * and >. Its filter is the stream's subjects, of which the last word is a node.",
		Bad: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: view
    success_transition: done
    properties: {stream: DISCOVERY, name: inventory, subject: overlay.*.query}
`,
		Good: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: view
    success_transition: done
    properties: {stream: DISCOVERY, name: inventory, subject: overlay.inventory.query}
`,
	},
}
