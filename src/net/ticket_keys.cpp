#include "net/ticket_keys.h"

#include <algorithm>
#include <stdexcept>

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rand.h>

namespace wschat {

namespace {

template <size_t size>
void fill(std::array<unsigned char, size>& bytes) {
    if (RAND_priv_bytes(bytes.data(), size) != 1)
        throw std::runtime_error("OpenSSL has no random bytes");
}

}  // namespace

TicketKeys::Key TicketKeys::make_key() {
    Key key;
    fill(key.name);
    fill(key.cipher);
    fill(key.mac);
    return key;
}

void TicketKeys::begin_turn(Time now) {
    if (now < next_change_) return;
    change();
    next_change_ = now + kPeriod;
}

void TicketKeys::change() {
    previous_ = current_;
    current_ = make_key();
}

void TicketKeys::replace() {
    change();
    change();
}

const TicketKeys::Key* TicketKeys::find(const unsigned char* name) const {
    for (const Key* key : {&current_, &previous_})
        if (std::equal(key->name.begin(), key->name.end(), name)) return key;
    return nullptr;
}

int TicketKeys::prepare(unsigned char* name, unsigned char* iv,
                        EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                        bool encrypt) const {
    const EVP_CIPHER* const aes = EVP_aes_256_cbc();
    if (encrypt) {
        std::copy(current_.name.begin(), current_.name.end(), name);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(aes)) != 1) return -1;
    }
    const Key* const key = encrypt ? &current_ : find(name);
    if (!key) return 0;
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end()};
    if (EVP_CipherInit_ex(cipher, aes, nullptr, key->cipher.data(), iv,
                          encrypt) != 1 ||
        EVP_MAC_init(mac, key->mac.data(), key->mac.size(), params) != 1)
        return -1;
    // By a new ticket, a client that comes back now and then never needs a
    // whole handshake.
    return key == &current_ ? 1 : 2;
}

}  // namespace wschat
