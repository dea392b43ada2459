// A site: a proxy with its configuration file of contrib/, and wschat behind
// it. Only ports, paths and timeouts of the file are replaced. For --rooms also
// what its comments say, with their rule for the room /private.
'use strict';

const { spawnSync } = require('child_process');
const fs = require('fs');
const path = require('path');

const { Program, startDaemon, freePorts, waitForPort, isInstalled,
  makeScratchDirectory } = require('./program');

const read = (name) => fs.readFileSync(`contrib/${name}`, 'utf8');

// Replaces each `from` by its `to`; throws if the text does not contain it.
function replaceAll(text, pairs) {
  for (const [from, to] of pairs) {
    if (!text.includes(from)) throw new Error(`there is no ${from}`);
    text = text.replaceAll(from, to);
  }
  return text;
}

// Removes the line for TCP, and uncomments the one for a unix socket.
function useUnixSocket(text, tcp, unix) {
  return replaceAll(text, [[`${tcp}\n`, '\n'], [`#${unix}`, unix]]);
}

// Removes the "#" before each of these texts.
const uncomment = (text, lines) =>
  replaceAll(text, lines.map((line) => [`#${line}`, line]));

const nginx = {
  missing: () => (isInstalled('nginx') ? '' : 'there is no nginx'),
  write(site) {
    let text = read('nginx.conf');
    if (site.socket)
      text = useUnixSocket(text, 'server 127.0.0.1:9600;',
        'server unix:/run/wschat/chat.sock;');
    if (site.rooms)
      text = uncomment(replaceAll(text, [
        ['location = /chat {', 'location /chat/ {'],
        ['proxy_pass http://wschat/;\n', '\n'],
      ]), ['map $request_uri', '    default /..', '    ~^/chat', '}',
        'proxy_pass http://wschat$', 'location ~ ^/chat/private']);
    fs.writeFileSync(site.file('site.conf'), replaceAll(text, [
      ['listen 443 ssl;', `listen 127.0.0.1:${site.port} ssl;`],
      ['listen [::]:443 ssl;', ''],
      ['/etc/letsencrypt/live/example.com', site.directory],
      ...site.backend(),
      ['proxy_read_timeout 60s', 'proxy_read_timeout 2s'],
    ]));
    fs.writeFileSync(site.file('main.conf'),
      'events {}\nerror_log stderr;\n' +
      `pid ${site.file('pid')};\ndaemon off;\nhttp {\n  access_log off;\n` +
      ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) =>
        `  ${name}_temp_path ${site.file(name)};\n`).join('') +
      '  include site.conf;\n}\n');
  },
  start: (site) => new Program('nginx', ['-c', site.file('main.conf')]),
};

const haproxy = {
  missing: () => (isInstalled('haproxy') ? '' : 'there is no haproxy'),
  write(site) {
    let text = read('haproxy.cfg');
    if (site.socket)
      text = useUnixSocket(text, 'server chat 127.0.0.1:9600',
        'server chat unix@/run/wschat/chat.sock');
    if (site.rooms)
      text = uncomment(replaceAll(text, [
        ['if { path /chat }', 'if { path_beg /chat/ }'],
        ['http-request set-path /\n', '\n'],
      ]), ['http-request replace-path', 'acl private', 'http-request deny']);
    fs.writeFileSync(site.file('haproxy.cfg'), replaceAll(text, [
      ['bind :443', `bind 127.0.0.1:${site.port}`],
      ['bind [::]:443 v6only ssl crt /etc/haproxy/example.com.pem', ''],
      ['/etc/haproxy/example.com.pem', site.file('both.pem')],
      ...site.backend(),
      ['maxconn 9900', 'maxconn 200'],  // needs fewer descriptors
      ['timeout tunnel 60s', 'timeout tunnel 2s'],
    ]));
  },
  start: (site) =>
    new Program('haproxy', ['-W', '-f', site.file('haproxy.cfg')]),
};

const apache = {
  missing: () => (isInstalled('apache2') ? '' : 'there is no apache2'),
  write(site) {
    let text = read('apache.conf');
    if (site.socket)
      text = useUnixSocket(text,
        'ProxyPass "/chat" "http://127.0.0.1:9600/" upgrade=websocket timeout=60',
        'ProxyPass "/chat" "unix:/run/wschat/chat.sock|');
    if (site.rooms)
      text = uncomment(replaceAll(text, [
        [' ProxyPass "/chat"', ' ProxyPass "/chat/"'],
        ['" upgrade=websocket timeout=60',
          '" upgrade=websocket timeout=60 nocanon'],
      ]), ['<Location', '    Require', '</Location>']);
    fs.writeFileSync(site.file('site.conf'), replaceAll(text, [
      ['*:443', `127.0.0.1:${site.port}`],
      ['/etc/letsencrypt/live/example.com', site.directory],
      ['/var/www/html', site.directory],
      ...site.backend(),
      ['timeout=60', 'timeout=2'],
    ]));
    const modules = ['mpm_event', 'authz_core', 'socache_shmcb', 'ssl', 'proxy',
      'proxy_http'];
    fs.writeFileSync(site.file('main.conf'),
      modules.map((name) => `LoadModule ${name}_module ` +
        `/usr/lib/apache2/modules/mod_${name}.so\n`).join('') +
      'User www-data\nGroup www-data\n' +
      `ServerRoot ${site.directory}\nDefaultRuntimeDir ${site.directory}\n` +
      `PidFile ${site.file('pid')}\nMutex file:${site.directory}\n` +
      `ErrorLog ${site.file('error.log')}\nServerName example.com\n` +
      `Listen 127.0.0.1:${site.port}\nInclude ${site.file('site.conf')}\n`);
  },
  start: (site) =>
    new Program('apache2', ['-DFOREGROUND', '-f', site.file('main.conf')]),
};

const kinds = { apache, nginx, haproxy };

class Site {
  static async start(kind, { unix = false, rooms = false }) {
    const site = new Site();
    site.rooms = rooms;
    site.directory = makeScratchDirectory();
    site.socket = unix ? site.file('chat.sock') : '';
    // The clients of the tests connect from other loopback addresses.
    site.daemon = await startDaemon([
      '--announce=address', '--ping-interval=0.5',
      ...(rooms ? ['--rooms'] : []),
      ...(unix ? [`--bind=unix:${site.socket},mode=0666`, '--trust-proxy=unix']
        : ['--bind=127.0.0.1', '--trust-proxy=127.0.0.1']),
      'example.com', '0']);
    [site.port] = await freePorts(1);
    site.#makeCertificate();
    kinds[kind].write(site);
    site.proxy = kinds[kind].start(site);
    await waitForPort(site.port, site.proxy);
    return site;
  }

  file(name) {
    return path.join(this.directory, name);
  }

  // Returns replacements for the address of wschat in the files of contrib/.
  backend() {
    return this.socket ? [['/run/wschat/chat.sock', this.socket]]
      : [['127.0.0.1:9600', `127.0.0.1:${this.daemon.port}`]];
  }

  async end() {
    await this.proxy.end();
    await this.daemon.end();
  }

  #makeCertificate() {
    const made = spawnSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048',
      '-nodes', '-keyout', this.file('privkey.pem'), '-out',
      this.file('fullchain.pem'), '-days', '2', '-subj', '/CN=example.com',
      '-addext', 'subjectAltName=DNS:example.com']);
    if (made.status !== 0) throw new Error(`${made.stderr}`);
    fs.writeFileSync(this.file('both.pem'),
      fs.readFileSync(this.file('fullchain.pem'), 'utf8') +
      fs.readFileSync(this.file('privkey.pem'), 'utf8'));
    this.ca = fs.readFileSync(this.file('fullchain.pem'));
  }
}

module.exports = { Site, kinds };
