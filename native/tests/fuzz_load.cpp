// Judges files; for use under the sanitizers. Exit status 1 when loading one allocates more than its size allows.
//
//     cmake -S . -B build/fuzz -DONEBIT_PYTHON=OFF -DONEBIT_TESTS=ON -DONEBIT_SANITIZE=address,undefined
//     cmake --build build/fuzz --target fuzz_load
//     fuzz_load a.onebit b.onebit                              one line a file: "ok", or what is wrong with it
//     python -m tests.runtime.mutate --emit | fuzz_load -      frames of a 64-bit length and that many bytes
#include "judge.hpp"

#include <fstream>
#include <iterator>

namespace {

bool report(const std::vector<char>& file, const char* name) {
    const Verdict verdict = judge(std::as_bytes(std::span(file)), std::size_t{1} << 26);
    if (name != nullptr) std::printf("%s: ", name);
    std::puts(verdict.text.c_str());
    if (verdict.within(file.size())) return true;
    std::fprintf(stderr, "loading %zu bytes held %zu bytes: %s\n", file.size(), verdict.bytes, verdict.text.c_str());
    return false;
}

}  // namespace

int main(int count, char** arguments) {
    bool within = true;
    if (count == 2 && std::string(arguments[1]) == "-") {
        std::uint64_t length = 0;
        while (std::fread(&length, sizeof length, 1, stdin) == 1) {
            std::vector<char> file(length);
            if (std::fread(file.data(), 1, length, stdin) != length) return 2;
            within &= report(file, nullptr);
        }
    } else {
        for (int i = 1; i < count; ++i) {
            std::ifstream stream(arguments[i], std::ios::binary);
            const std::vector<char> file{std::istreambuf_iterator<char>(stream), {}};
            within &= report(file, arguments[i]);
        }
    }
    return within ? 0 : 1;
}
