import { generateKeyPairSync, sign, type KeyObject } from "node:crypto";

/** PEM pair. */
interface Certificate {
  cert: Buffer;
  key: Buffer;
}

interface Certificates {
  /** PEM of the authority that signed both. */
  ca: Buffer;
  server: Certificate;
  client: Certificate;
}

/** DER: tag, length, content. */
function der(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const sequence = (...parts: Buffer[]) => der(0x30, ...parts);
const integer = (...bytes: number[]) => der(0x02, Buffer.from(bytes));
const oid = (...bytes: number[]) => der(0x06, Buffer.from(bytes));
const bits = (content: Buffer) => der(0x03, Buffer.from([0]), content);
const yes = der(0x01, Buffer.from([0xff]));

const ecdsaWithSha256 = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
const commonName = (name: string) => sequence(der(0x31, sequence(oid(0x55, 0x04, 0x03), der(0x0c, Buffer.from(name)))));
const utcTime = (date: Date) => der(0x17, Buffer.from(`${date.toISOString().slice(2, 19).replace(/\D/g, "")}Z`));

const authorityOnly = sequence(oid(0x55, 0x1d, 0x13), yes, der(0x04, sequence(yes)));
/** subjectAltName: DNS localhost, IP 127.0.0.1. */
const loopbackNames = sequence(
  oid(0x55, 0x1d, 0x11),
  der(0x04, sequence(der(0x82, Buffer.from("localhost")), der(0x87, Buffer.from([127, 0, 0, 1])))),
);

const dayMs = 86_400_000;
const pem = (label: string, content: Buffer) =>
  Buffer.from(
    `-----BEGIN ${label}-----\n${content.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END ${label}-----\n`,
  );

/** X.509 v3 (RFC 5280), valid for a day around now. */
function certificate(
  serial: number,
  subject: string,
  subjectKey: KeyObject,
  issuer: string,
  issuerKey: KeyObject,
): Buffer {
  const toBeSigned = sequence(
    der(0xa0, integer(2)),
    integer(serial),
    ecdsaWithSha256,
    commonName(issuer),
    sequence(utcTime(new Date(Date.now() - dayMs)), utcTime(new Date(Date.now() + dayMs))),
    commonName(subject),
    subjectKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(subject === issuer ? authorityOnly : loopbackNames)),
  );
  return pem("CERTIFICATE", sequence(toBeSigned, ecdsaWithSha256, bits(sign("sha256", toBeSigned, issuerKey))));
}

/** A throw-away authority with a certificate for a server on loopback and one for a client. */
export function makeCertificates(): Certificates {
  const newKey = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
  const authority = newKey();
  const pair = (serial: number, subject: string): Certificate => {
    const { publicKey, privateKey } = newKey();
    return {
      cert: certificate(serial, subject, publicKey, "test authority", authority.privateKey),
      key: Buffer.from(privateKey.export({ type: "pkcs8", format: "pem" })),
    };
  };
  return {
    ca: certificate(1, "test authority", authority.publicKey, "test authority", authority.privateKey),
    server: pair(2, "server"),
    client: pair(3, "client"),
  };
}
