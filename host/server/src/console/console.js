'use strict';
// What the pages cannot do without a script: sign with a passkey. Everything else here is comfort: times in the reader's zone, and a
// run's story while it goes on. No text becomes markup (Trusted Types).

const text = new TextEncoder();

function toBase64url(bytes) {
  const chars = Array.from(new Uint8Array(bytes), (byte) => String.fromCharCode(byte)).join('');
  return btoa(chars).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

function fromBase64(encoded) {
  return Uint8Array.from(atob(encoded.replace(/-/g, '+').replace(/_/g, '/')), (char) => char.charCodeAt(0));
}

function join(...parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

// An SSH string: its length, and its bytes.
function string(bytes) {
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, bytes.length);
  return join(length, bytes);
}

// What is signed of a document: DSSE's encoding of it, as `ssh-keygen -Y sign -n remit` signs that.
async function challenge({ payloadType, payload }) {
  const body = fromBase64(payload);
  const type = text.encode(payloadType);
  const pae = join(text.encode(`DSSEv1 ${type.length} `), type, text.encode(` ${body.length} `), body);
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-512', pae));
  const fields = [text.encode('remit'), new Uint8Array(0), text.encode('sha512'), digest];
  return join(text.encode('SSHSIG'), ...fields.map(string));
}

async function call(path, body) {
  const answer = await fetch(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
    redirect: 'error',
  });
  const told = await answer.json();
  if (!answer.ok) {
    throw new Error(told.help ? `${told.detail} (${told.help})` : told.detail);
  }
  return told;
}

async function sign(prepared, rpId, credential) {
  const found = await navigator.credentials.get({
    publicKey: {
      challenge: await challenge(prepared),
      rpId,
      userVerification: 'required',
      allowCredentials: credential ? [{ type: 'public-key', id: fromBase64(credential) }] : [],
    },
  });
  return {
    payloadType: prepared.payloadType,
    payload: prepared.payload,
    credential: toBase64url(found.rawId),
    authenticatorData: toBase64url(found.response.authenticatorData),
    clientDataJSON: toBase64url(found.response.clientDataJSON),
    signature: toBase64url(found.response.signature),
  };
}

// Whether a document says all that the page said it would.
function says(document, expected) {
  if (expected === null || typeof expected !== 'object') {
    return document === expected;
  }
  return document !== null && typeof document === 'object' &&
    Object.keys(expected).every((key) => says(document[key], expected[key]));
}

async function decide(form) {
  const body = JSON.parse(form.dataset.body);
  const reason = form.elements.reason;
  if (reason) {
    body.reason = reason.value;
  }
  const prepared = await call(form.dataset.prepare, body);
  const document_ = JSON.parse(new TextDecoder().decode(fromBase64(prepared.payload)));
  const expected = JSON.parse(form.dataset.expect);
  if (reason) {
    expected.reason = reason.value;
  }
  if (!says(document_, expected)) {
    throw new Error('The server prepared something else than this page says. Nothing was signed: tell an administrator.');
  }
  const { rp, credential } = document.body.dataset;
  const done = await call('/console/sign', await sign(prepared, rp, credential));
  location.assign(done.run ? `/console/runs/${done.run}` : form.dataset.next);
}

async function login(form) {
  const prepared = await call('/console/login/prepare', { name: form.elements.name.value.trim() });
  await call('/console/login', await sign(prepared, form.dataset.rp));
  location.assign(form.dataset.next);
}

async function enrol(form) {
  const name = form.elements.name.value.trim();
  const made = await navigator.credentials.create({
    publicKey: {
      rp: { id: form.dataset.rp, name: 'Remit' },
      user: { id: crypto.getRandomValues(new Uint8Array(32)), name, displayName: name },
      challenge: crypto.getRandomValues(new Uint8Array(32)),
      pubKeyCredParams: [{ type: 'public-key', alg: -7 }],
      authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
      attestation: 'none',
    },
  });
  const publicKey = toBase64url(made.response.getPublicKey());
  const prepared = await call('/console/enrol/prepare', { name, publicKey });
  const done = await call('/console/enrol', await sign(prepared, form.dataset.rp, toBase64url(made.rawId)));
  const written = JSON.stringify(done.envelope);
  document.getElementById('key-id').textContent = done.key;
  document.getElementById('envelope').value = written;
  const save = document.getElementById('save');
  save.href = URL.createObjectURL(new Blob([written], { type: 'application/json' }));
  save.download = `${name}.enrolment.json`;
  document.getElementById('enrolled').hidden = false;
  document.getElementById('key-id').scrollIntoView({ block: 'center' });
}

// What browsers and devices refuse, by its name.
const REFUSALS = {
  NotAllowedError: 'Your device did not sign: nothing was done.',
  SecurityError: 'No passkey signs on a page with this address: open the console at one that the rules name.',
};

function wire(form) {
  const button = form.querySelector('button');
  const output = form.querySelector('output');
  const does = 'login' in form.dataset ? login : 'enrol' in form.dataset ? enrol : decide;
  button.disabled = !window.PublicKeyCredential;
  if (button.disabled) {
    output.textContent = 'This browser has no passkeys here: it needs https, or localhost.';
    return;
  }
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    button.disabled = true;
    output.className = '';
    output.textContent = 'Your device asks you…';
    try {
      await does(form);
      output.textContent = 'Done.';
    } catch (error) {
      output.className = 'bad';
      output.textContent = REFUSALS[error.name] || error.message;
    } finally {
      button.disabled = false;
    }
  });
}

function localTimes(within) {
  const two = (n) => String(n).padStart(2, '0');
  for (const time of within.querySelectorAll('time')) {
    const at = new Date(time.dateTime);
    if (time.title || Number.isNaN(at.getTime())) {
      continue;
    }
    time.title = time.textContent;
    const ahead = -at.getTimezoneOffset();
    const zone = `${ahead < 0 ? '-' : '+'}${two(Math.floor(Math.abs(ahead) / 60))}${ahead % 60 ? `:${two(Math.abs(ahead) % 60)}` : ''}`;
    time.textContent = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())} ${zone}`;
  }
}

// Follows a run: when there are new records, its part of the page is got again, as the server writes it.
function follow() {
  const live = document.getElementById('live');
  if (!live || !live.dataset.events) {
    return;
  }
  const events = new EventSource(live.dataset.events);
  let waiting = false;
  const again = () => {
    if (waiting) {
      return;
    }
    waiting = true;
    setTimeout(() => {
      const page = new XMLHttpRequest();
      page.responseType = 'document';
      page.open('GET', location.href);
      page.onload = () => {
        waiting = false;
        const fresh = page.response && page.response.getElementById('live');
        const old = document.getElementById('live');
        if (!fresh || !old) {
          return;
        }
        old.replaceWith(document.adoptNode(fresh));
        localTimes(fresh);
        if (!fresh.dataset.events) {
          events.close();
        }
      };
      page.onerror = () => {
        waiting = false;
      };
      page.send();
    }, 250);
  };
  for (const kind of ['started', 'phase', 'intent', 'outcome', 'denied', 'simulated', 'undo-intent', 'undo-outcome', 'resolved', 'extended', 'paged', 'ended']) {
    events.addEventListener(kind, again);
  }
  events.addEventListener('error', () => {
    events.close();
    again();
  });
}

localTimes(document);
document.querySelectorAll('form.sign').forEach(wire);
follow();
