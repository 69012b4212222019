package diag

// messagingEntries documents the codes of the watchers that speak over NATS.
var messagingEntries = []Entry{
	{
		Code: "SC360", Title: "subject",
		Explanation: "A subject is words with dots between them and without white space. In a subscription * is any one word and > at the end any rest; a message is sent to one subject, without wildcards.",
		Bad: `format: 1
name: orders
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: order
    type: publish
    success_transition: done
    properties: {subject: 'orders.*', body: '"beer"'}
`,
		Good: `format: 1
name: orders
version: 1.0.0
initial_state: idle
transitions:
  - {name: done, from: [idle], destination: idle}
watchers:
  - name: order
    type: publish
    success_transition: done
    properties: {subject: orders.new, body: '"beer"'}
`,
	},
	{
		Code: "SC361", Title: "properties that do not go together",
		Explanation: "Two properties say different things of the same, such as body and payload of publish or reply and spawn of service, or one is missing that the others need: where a message goes, or who answers a request.",
		Bad: `format: 1
name: clock
version: 1.0.0
initial_state: serving
transitions:
  - {name: asked, from: [serving], destination: serving}
watchers:
  - name: time
    type: service
    success_transition: asked
    properties: {name: time, subject: time.now, reply: 'string(at)', spawn: {template: teller, key: message.reply}}
`,
		Good: `format: 1
name: clock
version: 1.0.0
initial_state: serving
transitions:
  - {name: asked, from: [serving], destination: serving}
watchers:
  - name: time
    type: service
    success_transition: asked
    properties: {name: time, subject: time.now, reply: 'string(at)'}
`,
	},
	{
		Code: "SC362", Title: "name that NATS does not take",
		Explanation: "The name of a service has letters, digits, _ and - only. The names in a registration begin with a letter, and its ip is an address.",
		Bad: `format: 1
name: clock
version: 1.0.0
initial_state: serving
transitions:
  - {name: asked, from: [serving], destination: serving}
watchers:
  - name: time
    type: service
    success_transition: asked
    properties: {name: time service, subject: time.now, reply: 'string(at)'}
`,
		Good: `format: 1
name: clock
version: 1.0.0
initial_state: serving
transitions:
  - {name: asked, from: [serving], destination: serving}
watchers:
  - name: time
    type: service
    success_transition: asked
    properties: {name: time-service, subject: time.now, reply: 'string(at)'}
`,
	},
}
