//! Who gets in and what they may do, asked through the API as it is served, over a real catalog and a clock moved by hand.

mod accounts;
mod login;
mod scene;
mod second_person;
mod sign_on;
mod tokens;
mod trail;
