package diag

// keyvalueEntries documents the codes of the watchers over streams and key-value buckets.
var keyvalueEntries = []Entry{
	{
		Code: "SC380", Title: "property that a mode needs",
		Explanation: "A kv watcher that writes needs a value, and one that claims needs slots as well; discard_new_per_subject of a stream needs discard: new and max_messages_per_subject.",
		Bad: `format: 1
name: recorder
version: 1.0.0
initial_state: recording
transitions:
  - {name: recorded, from: [recording], destination: recording}
watchers:
  - name: record
    type: kv
    success_transition: recorded
    properties: {bucket: NODES, key: n1, mode: create}
`,
		Good: `format: 1
name: recorder
version: 1.0.0
initial_state: recording
transitions:
  - {name: recorded, from: [recording], destination: recording}
watchers:
  - name: record
    type: kv
    success_transition: recorded
    properties: {bucket: NODES, key: n1, mode: create, value: '{state: "assigned"}'}
`,
	},
	{
		Code: "SC381", Title: "name that NATS does not take",
		Explanation: "Names of buckets, streams and object stores are letters, digits, - and _; subjects are parts that a dot separates, without spaces.",
		Bad: `format: 1
name: leader
version: 1.0.0
initial_state: standing
transitions:
  - {name: elected, from: [standing], destination: standing}
watchers:
  - name: office
    type: election
    success_transition: elected
    properties: {bucket: my.elections, name: adapter}
`,
		Good: `format: 1
name: leader
version: 1.0.0
initial_state: standing
transitions:
  - {name: elected, from: [standing], destination: standing}
watchers:
  - name: office
    type: election
    success_transition: elected
    properties: {bucket: my_elections, name: adapter}
`,
	},
	{
		Code: "SC382", Title: "nothing declared, or one thing twice",
		Explanation: "A streams watcher keeps at least one stream, bucket or object store. A bucket is the stream KV_NAME and an object store the stream OBJ_NAME, so that these count too.",
		Bad: `format: 1
name: streams
version: 1.0.0
initial_state: ensuring
transitions:
  - {name: ensured, from: [ensuring], destination: ensuring}
watchers:
  - name: keep
    type: streams
    success_transition: ensured
    properties: {buckets: [{name: NODES}, {name: NODES}]}
`,
		Good: `format: 1
name: streams
version: 1.0.0
initial_state: ensuring
transitions:
  - {name: ensured, from: [ensuring], destination: ensuring}
watchers:
  - name: keep
    type: streams
    success_transition: ensured
    properties: {buckets: [{name: NODES}, {name: CELLS}]}
`,
	},
	{
		Code: "SC383", Title: "size",
		Explanation: "A size is a whole number of bytes of at least 1, with KiB, MiB, GiB or TiB or without a unit. max_bytes of a stream, bucket or " +
			"object store may be a share, 1% to 100% of what the smallest broker may keep; the shares of a watcher come to 95% at most.",
		Bad: `format: 1
name: streams
version: 1.0.0
initial_state: ensuring
transitions:
  - {name: ensured, from: [ensuring], destination: ensuring}
watchers:
  - name: keep
    type: streams
    success_transition: ensured
    properties: {buckets: [{name: NODES, max_bytes: 10GB}]}
`,
		Good: `format: 1
name: streams
version: 1.0.0
initial_state: ensuring
transitions:
  - {name: ensured, from: [ensuring], destination: ensuring}
watchers:
  - name: keep
    type: streams
    success_transition: ensured
    properties: {buckets: [{name: NODES, max_bytes: 10GiB}]}
`,
	},
	{
		Code: "SC384", Title: "replicas",
		Explanation: "NATS keeps 1 to 5 copies; auto is one on each broker and at most 3. A stream that persists asynchronously has one copy, in a file.",
		Bad: `format: 1
name: streams
version: 1.0.0
initial_state: ensuring
transitions:
  - {name: ensured, from: [ensuring], destination: ensuring}
watchers:
  - name: keep
    type: streams
    success_transition: ensured
    properties: {buckets: [{name: NODES, replicas: 7}]}
`,
		Good: `format: 1
name: streams
version: 1.0.0
initial_state: ensuring
transitions:
  - {name: ensured, from: [ensuring], destination: ensuring}
watchers:
  - name: keep
    type: streams
    success_transition: ensured
    properties: {buckets: [{name: NODES, replicas: auto}]}
`,
	},
	{
		Code: "SC385", Title: "property that says nothing in a mode",
		Explanation: "What is stored in data goes with the modes of a kv watcher that read, what is written with those that write, and a revision with update and delete.",
		Bad: `format: 1
name: reader
version: 1.0.0
initial_state: reading
transitions:
  - {name: read, from: [reading], destination: reading}
watchers:
  - name: specs
    type: kv
    interval: 1m
    success_transition: read
    properties: {bucket: SPECS, key: default, revision: data.revision}
`,
		Good: `format: 1
name: reader
version: 1.0.0
initial_state: reading
transitions:
  - {name: read, from: [reading], destination: reading}
watchers:
  - name: specs
    type: kv
    interval: 1m
    success_transition: read
    properties: {bucket: SPECS, key: default}
`,
	},
}
