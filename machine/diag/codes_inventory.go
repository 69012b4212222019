package diag

// inventoryEntries documents the codes of the watchers inventory and view.
var inventoryEntries = []Entry{
	{
		Code: "SC450", Title: "name in an inventory",
		Explanation: "Agents, classes and collectives are names of at most 256 bytes on one line, each of them once.",
		Bad: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: inventory
    success_transition: done
    properties: {classes: [web, web]}
`,
		Good: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: inventory
    success_transition: done
    properties: {classes: [web, db]}
`,
	},
	{
		Code: "SC451", Title: "file of an inventory",
		Explanation: "Files of classes are below the machine's directory, or absolute.",
		Bad: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: inventory
    success_transition: done
    properties: {classes_files: [../classes.txt]}
`,
		Good: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: inventory
    success_transition: done
    properties: {classes_files: [/opt/puppetlabs/puppet/cache/state/classes.txt]}
`,
	},
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
		Explanation: "A view is asked by subjects in which * is any one word, and without >. Its filter is the stream's subjects, of which the last word is a node.",
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
    properties: {stream: DISCOVERY, name: inventory, subject: client.>}
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
    properties: {stream: DISCOVERY, name: inventory, subject: client.*.out.inventory}
`,
	},
}
