#include "cpu.hpp"

#include <stdexcept>

#include "text.hpp"

namespace onebit {

namespace {

struct Entry {
    const char* name;
    const kernel::Table* table;
    bool (*available)();
};

bool always() { return true; }

#ifdef ONEBIT_X86
// The compiler's helper reads CPUID and asks the operating system (XGETBV) whether it saves the wide registers.
bool has_avx2() { return __builtin_cpu_supports("avx2"); }
bool has_avx512bw() {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
bool has_avx512vpopcnt() {
    return has_avx512bw() && __builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512vnni");
}
#endif

constexpr Entry entries[] = {
#ifdef ONEBIT_X86
    {"avx512vpopcnt", &kernel::avx512vpopcnt, has_avx512vpopcnt},
    {"avx512bw", &kernel::avx512bw, has_avx512bw},
    {"avx2", &kernel::avx2, has_avx2},
#endif
#ifdef ONEBIT_NEON
    {"neon", &kernel::neon, always},
#endif
    {"portable", &kernel::portable, always},
};

}  // namespace

const char* isa_name(std::size_t index) {
    for (const Entry& entry : entries)
        if (entry.available() && index-- == 0) return entry.name;
    return nullptr;
}

std::vector<std::string> available_isas() {
    std::vector<std::string> names;
    for (const Entry& entry : entries)
        if (entry.available()) names.emplace_back(entry.name);
    return names;
}

Isa choose_isa(std::string_view name) {
    for (const Entry& entry : entries)
        if ((name.empty() || name == entry.name) && entry.available()) return {entry.name, entry.table};
    std::string known;
    for (const std::string& available : available_isas()) known += (known.empty() ? "" : ", ") + available;
    throw std::invalid_argument("isa must be one of those this processor has (" + known + "), got '" + std::string(name) + "'");
}

}  // namespace onebit
