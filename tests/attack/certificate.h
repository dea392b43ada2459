// A self-signed certificate for the daemon, in files.
#pragma once

#include <string>
#include <vector>

#include "fixtures/scratch.h"

namespace wschat::attack {

class Certificate {
public:
    /// Throws std::runtime_error if a file can't be written.
    Certificate();

    /// Returns --tls-cert and --tls-key with the files.
    std::vector<std::string> options() const;

private:
    test::ScratchDirectory scratch_;
};

}  // namespace wschat::attack
