package diag

// deliveryEntries documents the codes of the watchers machine, machines, depot and consumers.
var deliveryEntries = []Entry{
	{
		Code: "SC440", Title: "property of a machine watcher",
		Explanation: "run needs the directory of the machine, and verify its checksum; a property that is for another action says nothing.",
		Bad: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: machine
    success_transition: done
    properties: {action: run, name: web}
`,
		Good: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: machine
    success_transition: done
    properties: {action: run, name: web, directory: /srv/machines/web}
`,
	},
	{
		Code: "SC441", Title: "public key of Choria's list",
		Explanation: "public_key is an ed25519 public key: 64 digits of hex.",
		Bad: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: machines
    success_transition: done
    properties: {data_item: spec, public_key: mykey.pub}
`,
		Good: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: machines
    success_transition: done
    properties: {data_item: spec, public_key: d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a}
`,
	},
	{
		Code: "SC442", Title: "interval of a machines watcher",
		Explanation: "What runs is compared with what is to run every 2 seconds at most.",
		Bad: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: machines
    success_transition: done
    interval: 1s
    properties: {data_item: spec}
`,
		Good: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: machines
    success_transition: done
    interval: 1m
    properties: {data_item: spec}
`,
	},
	{
		Code: "SC443", Title: "properties of a machines watcher that do not go together",
		Explanation: "An item that is signed by public_key is in data_item, and has no trust root.",
		Bad: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: machines
    success_transition: done
    properties: {public_key: d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a}
`,
		Good: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: machines
    success_transition: done
    properties: {data_item: spec, public_key: d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a}
`,
	},
	{
		Code: "SC444", Title: "name or subject of a depot",
		Explanation: "The name of a depot and its bucket are letters, digits, - and _; its subject is words that a dot separates.",
		Bad: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: depot
    success_transition: done
    properties: {name: bundles, subject: node.*.out.bundle, inbox: '"_INBOX."', serves: objects, bucket: my.bundles}
`,
		Good: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: depot
    success_transition: done
    properties: {name: bundles, subject: node.*.out.bundle, inbox: '"_INBOX."', serves: objects, bucket: BUNDLES}
`,
	},
	{
		Code: "SC445", Title: "folder of a machines watcher",
		Explanation: "plugins_directory is an absolute path.",
		Bad: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: machines
    success_transition: done
    properties: {data_item: spec, plugins_directory: machines}
`,
		Good: `format: 1
name: tools
version: 1.0.0
initial_state: keeping
transitions:
  - {name: done, from: [keeping], destination: keeping}
watchers:
  - name: tools
    type: machines
    success_transition: done
    properties: {data_item: spec, plugins_directory: /srv/machines}
`,
	},
	{
		Code: "SC446", Title: "property of a consumers watcher",
		Explanation: "The subject has one * for the client's key and > at the end for what it asks; streams and queue are names of letters, digits, - and _.",
		Bad: `format: 1
name: tools
version: 1.0.0
initial_state: serving
transitions:
  - {name: served, from: [serving], destination: serving}
watchers:
  - name: tools
    type: consumers
    success_transition: served
    properties: {subject: clients.consumers, streams: [EVENTS]}
`,
		Good: `format: 1
name: tools
version: 1.0.0
initial_state: serving
transitions:
  - {name: served, from: [serving], destination: serving}
watchers:
  - name: tools
    type: consumers
    success_transition: served
    properties: {subject: client.*.out.consumers.>, streams: [EVENTS]}
`,
	},
}
