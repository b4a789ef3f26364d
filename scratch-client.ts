import Anthropic from '@anthropic-ai/sdk';
const api = new Anthropic({ apiKey: 'sk-x', baseURL: process.env.URL ?? 'http://127.0.0.1:8799' });
const agent = await api.beta.agents.create({ name: 'a', model: 'claude-sonnet-5', tools: [{ type: 'agent_toolset_20260401' }] });
const env = await api.beta.environments.create({ name: 'e' + Date.now() });
const t0 = Date.now(); const lap = (s: string) => console.log(String(Date.now() - t0).padStart(6), s);
const session = await api.beta.sessions.create({ agent: agent.id, environment_id: env.id, title: 'hello' }); lap('session ' + session.status);
async function turn(text: string, show = true) { const st = await api.beta.sessions.events.stream(session.id); const s = Date.now(); await api.beta.sessions.events.send(session.id, { events: [{ type: 'user.message', content: [{ type: 'text', text }] }] }); for await (const e of st) { if (show) lap(JSON.stringify(e).slice(0, 230)); if (e.type === 'session.status_idle') break; } return Date.now() - s; }
await turn('```drover\n{"say":"let me"}\n{"call":"bash","input":{"command":"cd /tmp; echo hi > x; id; ls -la /workspace"}}\n{"call":"bash","input":{"command":"pwd; cat x"}}\n{"say":"done {{result}}"}\n```');
const lat: number[] = []; for (let i = 0; i < 40; i++) lat.push(await turn('hi ' + i, false)); lat.sort((a, b) => a - b); console.log('turn ms p50', lat[20], 'p95', lat[37], 'min', lat[0]);
console.log((await api.models.list()).data.map(m => m.id).slice(0, 3));
