//! Every rule of a plan, case by case.
