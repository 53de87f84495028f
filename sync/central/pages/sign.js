"use strict";
// Signs a decision in the QP's browser. The key file and the passphrase never leave this page:
// what is posted is the envelope with the signature alone. Own code, no library, no inline script.

const DOMAIN = "cellwright/doc/1";
const ITERATIONS_MIN = 600000;
const ITERATIONS_MAX = 10000000;

const fromBase64 = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
const toBase64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)));
const toHex = (bytes) => [...new Uint8Array(bytes)].map((one) => one.toString(16).padStart(2, "0")).join("");

class Refused extends Error {}

async function openKey(file, passphrase, person) {
  let key;
  try {
    key = JSON.parse(await file.text());
  } catch {
    throw new Refused("This is not a QP key file. Choose the file that you keep for signing.");
  }
  if (key.kind !== "cellwright-qp-key" || key.v !== 1) {
    throw new Refused("This is not a QP key file. Choose the file that you keep for signing.");
  }
  if (key.person !== person) {
    throw new Refused(`This key belongs to ${key.person}; you are signed in as ${person}.`);
  }
  const rounds = key.kdf.iterations;
  if (!(rounds >= ITERATIONS_MIN && rounds <= ITERATIONS_MAX) || key.kdf.hash !== "SHA-256") {
    throw new Refused("This key file has parameters that are not ours. Make a new key.");
  }
  const typed = new TextEncoder().encode(passphrase.normalize("NFC"));
  const stretched = await crypto.subtle.importKey("raw", typed, "PBKDF2", false, ["deriveKey"]);
  const opener = await crypto.subtle.deriveKey(
    { name: "PBKDF2", hash: "SHA-256", iterations: rounds, salt: fromBase64(key.kdf.salt) },
    stretched, { name: "AES-GCM", length: 256 }, false, ["decrypt"]);
  let inside;
  try {
    inside = await crypto.subtle.decrypt(
      { name: "AES-GCM", iv: fromBase64(key.cipher.iv) }, opener, fromBase64(key.ciphertext));
  } catch {
    throw new Refused("The passphrase does not open this key. Type it again; nothing was signed.");
  }
  const secret = await crypto.subtle.importKey("pkcs8", inside, { name: "Ed25519" }, false, ["sign"]);
  new Uint8Array(inside).fill(0);
  return { secret, raw: fromBase64(key.public_key) };
}

async function signedBytes(content) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  const head = new TextEncoder().encode(`${DOMAIN}\u0000decision\u0000`);
  const whole = new Uint8Array(head.length + digest.length);
  whole.set(head);
  whole.set(digest, head.length);
  return { whole, hash: toHex(digest) };
}

async function makeEnvelope(content, key) {
  const { whole, hash } = await signedBytes(content);
  if (hash !== document.getElementById("shown-hash").textContent.trim()) {
    throw new Refused("The bytes are not those whose hash is shown. Do not sign; call QA.");
  }
  const signature = await crypto.subtle.sign({ name: "Ed25519" }, key.secret, whole);
  const check = await crypto.subtle.importKey("raw", key.raw, { name: "Ed25519" }, true, ["verify"]);
  if (!(await crypto.subtle.verify({ name: "Ed25519" }, check, signature, whole))) {
    throw new Refused("The public key in this file is not that of the key inside. Tell QA.");
  }
  return {
    type: "decision",
    content: toBase64(content),
    signatures: [{
      role: "qp",
      key: toHex(await crypto.subtle.digest("SHA-256", key.raw)),
      public_key: toBase64(key.raw),
      algorithm: "ed25519",
      signature: toBase64(signature),
    }],
  };
}

async function post(form, envelope) {
  const answer = await fetch(form.dataset.post, {
    method: "POST",
    headers: { "Content-Type": "application/json", "Form-Token": form.dataset.token },
    body: JSON.stringify(envelope),
  });
  const said = await answer.json();
  if (!answer.ok) {
    throw new Refused(said.words);
  }
  return said;
}

function done(form, words, said) {
  words.textContent = "Signed and taken by central. It is on its way to the unit. ";
  const link = document.createElement("a");
  link.href = `${form.dataset.post}/${said.version}`;
  link.textContent = "Download the signed file";
  words.append(link, " to carry it to the unit by hand if the network is away.");
  form.classList.add("done");
}

function watch(form) {
  const words = document.getElementById("sign-words");
  const button = document.getElementById("sign-button");
  const passphrase = document.getElementById("passphrase");
  form.addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    button.disabled = true;
    words.classList.remove("act");
    words.textContent = "Opening the key …";
    try {
      const file = document.getElementById("key-file").files[0];
      const key = await openKey(file, passphrase.value, form.dataset.person);
      done(form, words, await post(form, await makeEnvelope(fromBase64(form.dataset.content), key)));
    } catch (problem) {
      words.classList.add("act");
      words.textContent = problem instanceof Refused ? problem.message
        : `Nothing was signed: this browser could not do it (${problem.name}). Use cellwright qp certify.`;
      button.disabled = false;
    } finally {
      passphrase.value = "";
    }
  });
}

const form = document.getElementById("sign");
if (form) {
  watch(form);
}
